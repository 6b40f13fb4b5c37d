"""What the page around the pictures looks like."""

from deadpeer.lab.rendering.looks import COLOURS, PICTURE

__all__ = ["STYLE"]

_PAGE = (
    "body{margin:0;background:var(--bg);color:var(--ink);"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}"
    "main{max-width:980px;margin:0 auto;padding:24px 20px 48px}"
    "h1{font-size:1.75rem;line-height:1.2;margin:0 0 .4em}"
    "h2{font-size:1.2rem;margin:2.2em 0 .6em;padding-top:.6em;"
    "border-top:1px solid var(--line)}"
    "p,ul,dl{margin:.5em 0;max-width:46em}"
    "li{margin:.2em 0}"
    ".soft{color:var(--soft)}"
    ".stamp{display:inline-block;padding:.35em .8em;border-radius:6px;"
    "border:2px solid currentColor;font-weight:600;margin:.4em 0}"
    ".good{color:var(--good)}"
    ".bad{color:var(--bad);font-weight:600}"
    ".wide,.narrow{margin:.6em 0}"
    "svg{display:block;width:100%;height:auto}"
    ".narrow{display:none}"
    ".scroll{overflow-x:auto}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem;"
    "font-variant-numeric:tabular-nums}"
    "caption{text-align:left;color:var(--soft);padding-bottom:.4em}"
    "th,td{text-align:left;vertical-align:top;padding:.3em .7em .3em 0;"
    "border-bottom:1px solid var(--line)}"
    "td{white-space:nowrap}.why{white-space:normal}"
    "thead th{color:var(--soft);font-weight:600}"
    "tbody th{font-weight:400}"
    "tr.group th{font-weight:600;padding-top:1.2em}"
    "tr.group span{color:var(--soft);font-weight:400}"
    "tr.failed{background:var(--warn)}"
    "code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;"
    "overflow-wrap:anywhere}"
    "dt{font-weight:600;margin-top:.7em}"
    "dd{margin:0}"
    "summary{cursor:pointer;padding:.5em 0}"
    "@media (max-width:720px){main{padding:16px 12px 32px}"
    "h1{font-size:1.4rem}.wide,.why{display:none}.narrow{display:block}"
    "table{font-size:.82rem}th,td{padding-right:.5em;white-space:normal}}"
    "@media print{.scroll{overflow:visible}}"
)

STYLE = COLOURS + PICTURE + _PAGE
