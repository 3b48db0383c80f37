# ruff: noqa: E501 (a paragraph is one line in a page)
"""docs/reference/options.md: the options of the relay, from the table that reads them."""

import re
from collections.abc import Iterable

from apptuner_relay.config.help import (
    CONFIG_VARIABLE,
    TUNE_HEADING,
    TUNE_VARIABLE,
    headings,
    tunes,
)
from apptuner_relay.config.option import Option

PATH = "docs/reference/options.md"

HEAD = """\
# Options

All options of `twistd apptuner-relay`. `twistd apptuner-relay --help` prints what stands here; this page is made by `ops/docs/run` from the same table. `-n`, `--logfile`, `--pidfile` and so on are [twistd](https://docs.twisted.org/en/stable/core/howto/basics.html)'s own, and stand before `apptuner-relay`:

    twistd -n apptuner-relay --listen tcp:3000 --max-mobiles 8

- Each option is an environment variable too, which stands below it, and a key of [the configuration file](#configuration-file). The command line wins over a variable, and that over the file. A variable that begins with `APPTUNER_` and is none of these is an error, as a misspelt option is.
- `--check` tries out what the options name and prints what is in force: [Check a configuration](#check-a-configuration).
- An option that would change nothing as the others stand is an error: `--tls-cert` without a `tls:` endpoint, `--node-address` without `--redis`. Its default may always be said.
- A value that cannot be is one line on standard error, and exit status 1. The value of a secret is never repeated.
- **SIZE**: a number with `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000), `KiB`, `MiB`, `GiB` or `TiB` (powers of 1024) behind it; bytes without one. **TIME**: a number with `ms`, `s`, `m`, `h` or `d` behind it; seconds without one. Both take a decimal point, and any case of letters.
- `off` and `none` mean the same wherever something is turned off or is not there, in any case of letters. An empty variable means `none` for a URL, a file or a token; it turns no limit off.
- **TOKEN**: the text itself, or `@FILE` for the file that holds it.
"""
TUNE = f"""\
## {TUNE_HEADING}

`--tune NAME=VALUE` changes a detail that few operators need: `--tune window=1MiB`. Repeat it for more, or put spaces between them, as in the variable: `{TUNE_VARIABLE}="window=1MiB lag-limit=1s"`. Of two values for one name the last counts.
"""
CONFIG = f"""\
## Configuration file

`--config FILE`, or `{CONFIG_VARIABLE}`, has the relay read options from a file of [TOML](https://toml.io). Its keys are the names of options without the dashes, and its table `tune` has the details:

    listen = ["tcp:3000", "tls:tcp:443"]
    tls-cert = "/etc/letsencrypt/live/relay.example.com/fullchain.pem"
    max-mobiles = 8
    compression = false
    admin-token = "@/etc/apptuner-relay/admin-token"

    [tune]
    window = "1MiB"

A value is what one would type, in quotes; numbers, `true` (on) and `false` (off) need none. `listen`, `allowed-origin`, `forward`, `trusted-proxy` and `subprotocol` may be arrays. [ops/relay.toml](../../ops/relay.toml) has every option with its default, commented out. The relay reads the file when it starts.
"""
CHECK = """\
## Check a configuration

`--check` tries out what the options name, prints what it finds and which options are in force, and exits: with 1 if something would fail. It listens nowhere for longer than it takes to see that a port is free, makes no directory, and disturbs no relay that runs: a port in use and a locked state directory are warnings. Secrets are not printed.

    $ twistd -n --pidfile= apptuner-relay --check --config /etc/apptuner-relay/relay.toml
    AppTuner Relay 0.2.0: checking its options
      ok      --listen tls:tcp:443: free
      warning --tls-cert: relay.example.com, until 2026-12-09
      ok      --spool-dir: /var/cache/apptuner-relay: 77.5 GiB free, --spool-limit is 2.0 GiB
      ok      --state-dir: /var/lib/apptuner-relay: can be written
      failed  --redis rediss://redis.example.com:6379: WRONGPASS invalid username-password pair or user is disabled.
    in force, beside defaults:
      listen = tls:tcp:443  (/etc/apptuner-relay/relay.toml: listen)
      redis = ***  (/etc/apptuner-relay/relay.toml: redis)
    3 ok, 1 warning, 1 failed
"""
OLDER = f"""\
### Older spellings

Each of these was an option of its own. That spelling goes on working, with a line of warning in the log: `--window is an older spelling: use --tune window=VALUE or {TUNE_VARIABLE}`. `--tune` wins over it.

| older option | older variable | now |
|---|---|---|
"""


def render() -> str:
    """The page."""
    parts = [HEAD, *(f"- [{heading}](#{_anchor(heading)})" for heading, _ in headings())]
    parts.append(f"- [{TUNE_HEADING}](#{_anchor(TUNE_HEADING)})")
    parts.append("- [Configuration file](#configuration-file)")
    parts.append("- [Check a configuration](#check-a-configuration)\n")
    for heading, options in headings():
        parts += [f"## {heading}\n", *_table(options, "--"), ""]
    parts += [TUNE, *_table(tunes(), ""), ""]
    parts += [CONFIG, CHECK]
    parts.append(OLDER + "\n".join(_older(one) for one in tunes()))
    return "\n".join(parts) + "\n"


def _table(options: Iterable[Option], dashes: str) -> list[str]:
    variables = bool(dashes)
    rows = ["| option | values | default | meaning |", "|---|---|---|---|"]
    for one in options:
        name = f"`{dashes}{one.name}{' ' if dashes else '='}{_escaped(one.parse.metavar)}`"
        if variables:
            name += f"<br>`{one.variable}`"
        default = re.sub(r"^(/var/tmp/\w+_)[0-9]+$", r"\1UID", one.default) or "none"
        rows.append(f"| {name} | {one.parse.accepts} | `{default}` | {_meaning(one)} |")
    return rows


def _older(option: Option) -> str:
    return f"| `--{option.spelling}` | `{option.variable}` | `--tune {option.name}` |"


def _meaning(option: Option) -> str:
    text = _escaped(option.doc).replace("<", "&lt;").replace("*", "\\*")
    return re.sub(r"--tune [a-z-]+[a-z]|--[a-z-]+[a-z]|\$[A-Z_]+(?:/[a-z-]+)?", r"`\g<0>`", text)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
