"""Who wins: our reading of the files against the rules, and against the programs."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import sysctl_programs
from tests.sysctl_trees import LAYOUTS, plant

from deadpeer.kernel.sysctl.order import ConfigFile, Rule
from deadpeer.kernel.sysctl.rules import Assignment, outcome
from deadpeer.kernel.sysctl.table import number_as_kernel_reads, setting_named
from deadpeer.kernel.sysctl.tree import inside, read_files, readers

KEY = "net/ipv4/tcp_keepalive_time"
ROW = setting_named("time")


def files(texts):
    return [ConfigFile(path=path, text=text) for path, text in texts.items()]


def winner(texts, rule):
    found = outcome(KEY, files(texts), rule, takes=ROW.takes).winner
    return found and (found.path, found.line, found.value)


def decided(tree, rule, **options) -> Assignment:
    found = outcome(KEY, tree, rule, **options).winner
    assert found is not None
    return found


def line(number):
    return f"net.ipv4.tcp_keepalive_time = {number}\n"


BOTH = pytest.mark.parametrize("rule", [Rule.SYSTEMD, Rule.PROCPS])


@BOTH
def test_the_last_name_wins_whatever_the_directory(rule):
    texts = {"/etc/sysctl.d/10-a.conf": line(1), "/usr/lib/sysctl.d/50-b.conf": line(2)}

    assert winner(texts, rule) == ("/usr/lib/sysctl.d/50-b.conf", 1, "2")


@BOTH
def test_names_are_compared_as_bytes(rule):
    texts = {f"/etc/sysctl.d/{name}.conf": line(1) for name in ("99-z", "Z", "k8s")}

    assert winner(texts, rule)[0] == "/etc/sysctl.d/k8s.conf"


@BOTH
def test_for_the_same_name_the_stronger_directory_wins_and_says_so(rule):
    texts = {
        f"/{place}/sysctl.d/50-a.conf": line(number)
        for number, place in enumerate(
            ("lib", "usr/lib", "usr/local/lib", "run", "etc"), start=1
        )
    }

    while texts:
        strongest = list(texts)[-1]
        found = outcome(KEY, files(texts), rule)
        assert decided(files(texts), rule).path == strongest
        assert len(found.shadowed) == len(texts) - 1
        assert all(strongest in shade.why for shade in found.shadowed)
        del texts[strongest]


@BOTH
def test_a_later_line_of_one_file_wins(rule):
    texts = {"/etc/sysctl.d/a.conf": line(1) + "\n" + line(2)}

    assert winner(texts, rule) == ("/etc/sysctl.d/a.conf", 3, "2")


@BOTH
@pytest.mark.parametrize("name", ["99-a", "a.conf.bak", "a.CONF", ".conf~", "README"])
def test_a_name_that_does_not_end_in_conf_is_not_read_and_reported(rule, name):
    found = outcome(KEY, files({f"/etc/sysctl.d/{name}": line(5)}), rule)

    assert found.winner is None
    assert [shade.why for shade in found.shadowed] == [
        "not read: its name does not end in .conf"
    ]


@BOTH
def test_a_link_to_dev_null_masks_the_name(rule):
    masked = ConfigFile(
        path="/etc/sysctl.d/a.conf", text="", real="/dev/null", masked=True
    )
    found = outcome(KEY, [masked, *files({"/usr/lib/sysctl.d/a.conf": line(5)})], rule)

    assert found.winner is None
    assert found.shadowed[0].why.startswith("masked by /etc/sysctl.d/a.conf")


def test_alpine_lets_a_link_to_dev_null_mask_nothing():
    masked = ConfigFile(
        path="/etc/sysctl.d/a.conf", text="", real="/dev/null", masked=True
    )
    package = files({"/usr/lib/sysctl.d/a.conf": line(5)})

    assert decided([masked, *package], Rule.ALPINE).value == "5"


def test_only_procps_reads_sysctl_conf_by_itself_and_reads_it_last():
    texts = {"/etc/sysctl.d/zzz.conf": line(1), "/etc/sysctl.conf": line(2)}

    assert winner(texts, Rule.PROCPS) == ("/etc/sysctl.conf", 1, "2")
    assert winner(texts, Rule.SYSTEMD) == ("/etc/sysctl.d/zzz.conf", 1, "1")
    (shade,) = outcome(KEY, files(texts), Rule.SYSTEMD).shadowed
    assert shade.why == "not read: systemd does not read this file"


def test_systemd_reads_sysctl_conf_through_a_link():
    link = ConfigFile(
        path="/etc/sysctl.d/99-sysctl.conf", real="/etc/sysctl.conf", text=line(2)
    )
    tree = [link, *files({"/etc/sysctl.conf": line(2)})]

    assert decided(tree, Rule.SYSTEMD).place == ("/etc/sysctl.conf", 1)
    # It is the same line.
    assert not outcome(KEY, tree, Rule.SYSTEMD).shadowed


def test_alpine_reads_run_last_of_all():
    texts = {
        "/etc/sysctl.d/zzz.conf": line(1),
        "/etc/sysctl.conf": line(2),
        "/run/sysctl.d/00.conf": line(3),
        "/usr/local/lib/sysctl.d/z.conf": line(4),
        "/usr/lib/sysctl.d/zzzz.conf": line(5),
    }

    for expected in ("3", "2", "1", "5", None):
        found = winner(texts, Rule.ALPINE)
        assert (found and found[2]) == expected
        texts.pop(found[0] if found else "", None)


@BOTH
def test_a_line_that_names_the_key_beats_patterns_also_later_ones(rule):
    texts = {"/etc/sysctl.d/a.conf": line(1), "/etc/sysctl.d/b.conf": "net.ipv4.*=2\n"}

    assert winner(texts, rule)[2] == "1"


@BOTH
def test_a_pattern_sets_what_nothing_names(rule):
    assert winner({"/etc/sysctl.d/a.conf": "net.ipv4.tcp_keepalive_* = 2"}, rule)
    assert not winner({"/etc/sysctl.d/a.conf": "net.ipv6.* = 2"}, rule)


def test_an_exclusion_stops_patterns_and_in_systemd_also_earlier_lines():
    pattern = {"/etc/sysctl.d/a.conf": "net.ipv4.* = 2\n-net.ipv4.tcp_keepalive_time"}
    named = {"/etc/sysctl.d/a.conf": line(2) + "-net.ipv4.tcp_keepalive_time"}

    assert winner(pattern, Rule.SYSTEMD) is winner(pattern, Rule.PROCPS) is None
    assert winner(named, Rule.SYSTEMD) is None
    assert winner(named, Rule.PROCPS)[2] == "2"


def test_a_value_that_the_kernel_refuses_leaves_procps_with_the_one_before():
    texts = {"/etc/sysctl.d/a.conf": line(5) + line("soon")}
    found = outcome(KEY, files(texts), Rule.SYSTEMD, takes=ROW.takes)

    assert winner(texts, Rule.PROCPS)[2] == "5"
    assert decided(files(texts), Rule.SYSTEMD).value == "soon"
    assert (found.taken, found.text) == (False, None)


def test_busybox_knows_neither_patterns_nor_dashes():
    texts = {
        "/etc/sysctl.d/a.conf": "net.ipv4.* = 2\n-net.ipv4.tcp_keepalive_time = 3\n"
    }

    assert winner(texts, Rule.ALPINE) is None


@given(st.randoms(use_true_random=False), st.sampled_from(list(Rule)))
def test_the_winner_never_depends_on_the_order_of_listing(rng, rule):
    texts = random_tree(rng)
    tree = as_files(texts)
    before = outcome(KEY, tree, rule, takes=ROW.takes)
    rng.shuffle(tree)

    assert outcome(KEY, tree, rule, takes=ROW.takes) == before


@given(st.randoms(use_true_random=False), st.sampled_from(list(Rule)))
def test_every_line_about_the_key_is_either_the_winner_or_explained(rng, rule):
    tree = as_files(random_tree(rng))
    found = outcome(KEY, tree, rule, takes=ROW.takes)
    about = {
        (file.real or file.path, said.number)
        for file in tree
        for said in file.parsed.lines
        if said.key == KEY
    }
    told = {shade.assignment.place for shade in found.shadowed}
    told |= {found.winner.place} if found.winner else set()

    assert about <= told
    assert all(shade.why for shade in found.shadowed)


# -- the same trees, read by the programs themselves -------------------------

DEFAULTS = {
    KEY: "7200",
    "net/ipv4/tcp_keepalive_probes": "9",
    "net/ipv4/tcp_retries2": "15",
}
PATTERNS = (
    "net/ipv4/tcp_keepalive_*",
    "net/ipv4/tcp_*2",
    "net/*/tcp_keepalive_[tp]*",
    "net/ipv4/tcp_keepalive_????",
    "net/ipv4/tcp_[!k]etries2",
)
VALUES = ("3", "7", "020", "0x11", "300", "-1", "abc", "5 # x", "6;", "", "9" * 12)
NAMES = ("10-a.conf", "50-b.conf", "99-sysctl.conf", "Z.conf", "k8s.conf", "99-x")
PLACES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/lib/sysctl.d")


def random_line(rng):
    key = rng.choice([*DEFAULTS, *PATTERNS])
    written = key.replace("/", ".") if rng.random() < 0.6 else key
    kind = rng.random()
    if kind < 0.1:
        # Procps takes patterns here only since 4.0.5.
        return f"-{written}" if key in DEFAULTS else f"# {written} = 4"
    if kind < 0.15:
        return f"{written} 5"
    dash = "-" if kind < 0.25 else ""
    space, end = rng.choice(["", " ", "\t"]), rng.choice(["", " ", "\r"])
    return f"{space}{dash}{written}{space}={space}{rng.choice(VALUES)}{end}"


def random_tree(rng):
    tree: dict[str, str | None] = {}
    for _ in range(rng.randint(1, 5)):
        path = f"{rng.choice(PLACES)}/{rng.choice(NAMES)}"
        kind = rng.random()
        lines = [random_line(rng) for _ in range(rng.randint(0, 4))]
        tree[path] = "\n".join(lines)
        if kind < 0.12:
            tree[path] = None if kind < 0.08 else "-> /etc/nowhere"
    if rng.random() < 0.5:
        tree["/etc/sysctl.conf"] = "\n".join(random_line(rng) for _ in range(2))
        if rng.random() < 0.5:
            tree["/etc/sysctl.d/99-sysctl.conf"] = "-> ../sysctl.conf"
    return tree


def as_files(tree):
    """What `read_files` would find."""
    found = []
    for path, text in tree.items():
        if text is None:
            found.append(ConfigFile(path=path, text="", real="/dev/null", masked=True))
        elif text == "-> ../sysctl.conf":
            real = "/etc/sysctl.conf"
            found.append(ConfigFile(path=path, text=tree[real], real=real))
        elif text.startswith("-> "):
            found.append(ConfigFile(path=path, text=None, real="/etc/nowhere"))
        else:
            found.append(ConfigFile(path=path, text=text))
    return found


@pytest.mark.netns
@pytest.mark.slow
@pytest.mark.skipif(bool(sysctl_programs.why_not()), reason=sysctl_programs.why_not())
def test_systemd_sysctl_and_procps_come_to_the_same_values():
    rng = random.Random(20)  # noqa: S311 - the same trees every time
    trees = [random_tree(rng) for _ in range(80)]
    seen = sysctl_programs.run(trees, DEFAULTS)

    for tree, values in zip(trees, seen, strict=True):
        for name, found in values.items():
            ours = {}
            for key, default in DEFAULTS.items():
                row = setting_named(key.replace("/", "."))
                text = outcome(key, as_files(tree), Rule(name), takes=row.takes).text
                ours[key] = (
                    default if text is None else str(number_as_kernel_reads(text))
                )
            assert ours == found, (name, tree)


# -- trees on disk ------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "at_boot", "by_hand"),
    [
        ("debian-12", Rule.SYSTEMD, Rule.PROCPS),
        ("debian-13", Rule.SYSTEMD, Rule.PROCPS),
        ("ubuntu-24.04", Rule.SYSTEMD, Rule.PROCPS),
        ("rhel-9", Rule.SYSTEMD, Rule.PROCPS),
        ("alpine", Rule.ALPINE, None),
    ],
)
def test_it_is_known_who_reads_the_files_of_a_distribution(
    tmp_path, layout, at_boot, by_hand
):
    found = readers(plant(tmp_path / "root", LAYOUTS[layout]))

    assert (found.at_boot, found.by_hand) == (at_boot, by_hand)


def test_a_container_without_an_init_reads_nothing_at_boot(tmp_path):
    found = readers(plant(tmp_path / "root", {"usr/sbin/sysctl": "a program"}))

    assert (found.at_boot, found.by_hand) == (None, Rule.PROCPS)


def test_debian_without_systemd_runs_procps_from_its_init_script(tmp_path):
    files = {"usr/sbin/sysctl": "a program", "etc/init.d/procps": "#!/bin/sh\n"}

    assert readers(plant(tmp_path / "root", files)).at_boot is Rule.PROCPS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fresh_installation_sets_none_of_our_keys(tmp_path, layout):
    tree = read_files(plant(tmp_path / "root", LAYOUTS[layout]))

    assert tree
    for rule in Rule:
        assert outcome(KEY, tree, rule).winner is None


@pytest.mark.parametrize(
    ("layout", "winners"),
    [
        ("debian-12", {"systemd": "/etc/sysctl.d/99-sysctl.conf", "procps": "same"}),
        ("debian-13", {"systemd": None, "procps": "/etc/sysctl.conf"}),
        ("rhel-9", {"systemd": "/etc/sysctl.d/99-sysctl.conf", "procps": "same"}),
        ("alpine", {"alpine": "/etc/sysctl.conf"}),
    ],
)
def test_who_reads_a_line_in_sysctl_conf_depends_on_the_distribution(
    tmp_path, layout, winners
):
    changed = LAYOUTS[layout] | {"etc/sysctl.conf": line(60)}
    tree = read_files(plant(tmp_path / "root", changed))

    for rule, path in winners.items():
        if path is None:
            assert outcome(KEY, tree, Rule(rule)).winner is None
        else:
            found = decided(tree, Rule(rule))
            assert found.place == ("/etc/sysctl.conf", 1)
            assert path in ("same", found.path)


def test_merged_lib_directories_are_not_read_twice(tmp_path):
    paths = [file.path for file in read_files(plant(tmp_path / "r", LAYOUTS["rhel-9"]))]

    assert "/usr/lib/sysctl.d/50-redhat.conf" in paths
    assert not [path for path in paths if path.startswith("/lib/")]


def test_links_of_a_tree_are_followed_inside_the_tree(tmp_path):
    root = plant(
        tmp_path / "root",
        {
            "etc/sysctl.d/a.conf": "-> /opt/a.conf",
            "opt/a.conf": line(7),
            "etc/sysctl.d/b.conf": "-> ../../../../../../opt/a.conf",
            "etc/sysctl.d/loop.conf": "-> loop.conf",
            "etc/sysctl.d/null.conf": "-> /dev/null",
            "etc/sysctl.d/gone.conf": "-> /etc/gone",
        },
    )
    found = {file.name: file for file in read_files(root)}

    assert found["a.conf"].text == found["b.conf"].text == line(7)
    assert found["a.conf"].real == found["b.conf"].real == "/opt/a.conf"
    assert found["null.conf"].masked
    assert found["loop.conf"].problem
    assert found["gone.conf"].problem
    assert inside(root, "/etc/../../etc/sysctl.d/a.conf") == root / "opt/a.conf"


def test_a_pipe_in_the_place_of_a_file_is_not_opened(tmp_path):
    root = plant(tmp_path / "root", LAYOUTS["debian-12"])
    os.mkfifo(root / "etc/sysctl.d/pipe.conf")
    found = {file.name: file for file in read_files(root)}

    assert found["pipe.conf"].problem
