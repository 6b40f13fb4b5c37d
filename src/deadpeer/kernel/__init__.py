"""All conversation with the kernel about TCP: options, evidence, verdicts and system settings."""
