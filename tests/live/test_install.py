"""The commands of docs/how-to/install.md, in a Debian that is made and booted for it; and what
the relay's unit does there: a renewed certificate, the watchdog."""

import fcntl
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from typing import NamedTuple

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.certificates import Authority, Pair
from tests.live.booted import Booted, CantBoot, missing_boot
from tests.live.processes import REPOSITORY

PAGE = REPOSITORY / "docs/how-to/install.md"
NAME = "relay.example.com"
CHECKOUT = ("apptuner_relay", "twisted", "docs", "ops")
FILES = ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
UNPACKED = shutil.ignore_patterns("__pycache__", "dropin.cache", "node_modules", "out", ".*")
PATIENCE_S = 60
_WEEK_S = 7 * 86400
_STEP = re.compile(r"(?m)^## (\d+)\. (.+)\n((?:(?!## ).*\n)*)")
_BLOCK = re.compile(r"(?m)((?:^ {4}.*\n|^\n(?= {4}))+)")
_MARK = re.compile(r"<!-- in the test: (.+) -->")
_SHOWN = "looks like this:"

CERTBOT = f"""\
#!/bin/sh
# Stands for certbot: "issues" what the test has put into /root/issued, and calls the deploy hook.
set -eu
live=/etc/letsencrypt/live/{NAME} saved=/etc/letsencrypt/hook
if [ "$1" = certonly ]; then
    while [ "$1" != --deploy-hook ]; do shift; done
    mkdir -p "$live" && chmod 700 /etc/letsencrypt/live && echo "$2" >"$saved"
fi
umask 077
version=$(ls "$live" | wc -l)
for name in fullchain privkey; do
    cp "/root/issued/$name.pem" "/etc/letsencrypt/$name$version.pem"
    ln -sfn "/etc/letsencrypt/$name$version.pem" "$live/$name.pem"
done
RENEWED_LINEAGE=$live RENEWED_DOMAINS={NAME} sh -c "$(cat "$saved")"
"""


class Step(NamedTuple):
    """A numbered step of the page."""

    number: int
    title: str
    mark: str
    """What the page says that the test does instead, or nothing."""
    scripts: list[str]
    """What a reader types, block by block."""


def steps() -> Iterator[Step]:
    """The page's steps, without what is shown of their output."""
    for number, title, text in _STEP.findall(PAGE.read_text("utf-8")):
        pieces = _BLOCK.split(text)
        scripts = [
            re.sub(r"(?m)^ {4}", "", block)
            for before, block in zip(pieces[::2], pieces[1::2], strict=False)
            if not before.rstrip().endswith(_SHOWN)
        ]
        mark = _MARK.search(text)
        yield Step(int(number), title, mark[1] if mark else "", scripts)


class PageTest(SynchronousTestCase):
    def test_it_is_numbered_and_says_what_the_test_does_not(self) -> None:
        page = list(steps())
        self.assertEqual([step.number for step in page], [*range(1, 9)])
        self.assertEqual([step.number for step in page if step.mark], [1, 5, 6])
        self.assertTrue(all(step.scripts for step in page))


def wheels(source: Path) -> Path:
    """The wheels of what the relay needs, as the container has no network; kept for a week."""
    what = (source / "setup.cfg").read_bytes() + sys.version.encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "apptuner-relay-tests")
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = cache / f"wheels-{hashlib.sha256(what).hexdigest()[:16]}"
    with (cache / "wheels-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists() or time.time() - folder.stat().st_mtime > _WEEK_S:
            for old in cache.glob("wheels-*/"):
                shutil.rmtree(old)
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
            new = folder.with_suffix(".new")
            words = [*pip, f"--wheel-dir={new}", f"{source}[client,redis]", "setuptools >= 70.1"]
            done = run(words, stdout=PIPE, stderr=STDOUT, text=True, check=False)
            if done.returncode:
                raise SkipTest(f"no wheels of what the relay needs: {done.stdout[-500:]}")
            new.rename(folder)
    return folder


class InstallTest(SynchronousTestCase):
    """One container for all of it: a booted Debian is not had for nothing."""

    timeout = 900
    skip = missing_boot()

    def setUp(self) -> None:
        self.debian = debian = Booted(Path(tempfile.mkdtemp()) / "debian")
        self.addCleanup(debian.remove)
        version = debian.chroot.run("python3", "-c", "import sys; print(sys.version_info[:2])")
        if version.strip() != str(sys.version_info[:2]):
            raise SkipTest(f"the wheels are for Python {sys.version_info[:2]}, not for {version}")
        source = debian.path("/root/apptuner-relay")
        source.mkdir()
        for name in CHECKOUT:
            shutil.copytree(REPOSITORY / name, source / name, ignore=UNPACKED, symlinks=True)
        for name in FILES:
            shutil.copy(REPOSITORY / name, source / name)
        debian.path("/etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        with debian.path("/etc/hosts").open("a") as hosts:
            hosts.write(f"127.0.0.1 {NAME}\n")
        self.authority = Authority()
        debian.path("/usr/local/share/ca-certificates/test.crt").write_bytes(self.authority.pem)
        debian.chroot.run("update-ca-certificates")
        certbot = debian.path("/usr/local/bin/certbot")
        certbot.write_text(CERTBOT)
        certbot.chmod(0o755)
        debian.path("/root/issued").mkdir()
        try:
            debian.boot(f"{wheels(source)}:/wheels")
        except CantBoot as wrong:
            raise SkipTest(f"systemd can't be booted here: {wrong}") from None

    def test_the_page(self) -> None:
        first = self.issue()
        for step in steps():
            self.follow(step)
        self.is_installed_as_the_page_says()
        self.assertEqual(self.served(), first.serial)
        self.a_renewal_reaches_the_relay()
        self.half_a_renewal_does_not()
        self.a_stuck_relay_is_started_again()
        self.assertNotIn("Unknown key", self.debian.run("journalctl --no-pager"))

    def follow(self, step: Step) -> None:
        note = f"   (in the test: {step.mark})" if step.mark else ""
        self.show(f"\n## {step.number}. {step.title}{note}\n")
        for script in step.scripts:
            self.show("".join(f"# {line}\n" for line in script.splitlines()))
            if step.title == "What Debian has":
                install = script.splitlines()[-1].replace("install -y", "install -y --no-download")
                self.show(self.debian.run(install))
                continue
            if step.title == "The firewall":
                script, _, _ = script.partition("nft --check")
                self.show(self.debian.run(script) + self.check_firewall())
                continue
            self.show(self.debian.run(script))

    def check_firewall(self) -> str:
        """What nft makes of the page's rules, where the kernel knows of such."""
        if "Operation not supported" in (said := self.debian.run("nft list tables 2>&1", None)):
            return f"(not checked, as this kernel has no nf_tables: {said.strip()})\n"
        return self.debian.run("nft --check --file /etc/nftables.conf")

    def show(self, text: str) -> None:
        """Keep for people what was typed and what came, where they ask for it."""
        if path := os.environ.get("INSTALL_TRANSCRIPT"):
            with open(path, "a", encoding="utf-8") as file:
                file.write(text)

    def issue(self) -> Pair:
        """A certificate for the stand-in of certbot to hand out next."""
        pair = self.authority.issue(names=(NAME,))
        self.hand_out(pair.chain, pair.key)
        return pair

    def hand_out(self, chain: bytes, key: bytes) -> None:
        self.debian.path("/root/issued/fullchain.pem").write_bytes(chain)
        self.debian.path("/root/issued/privkey.pem").write_bytes(key)

    def served(self) -> int:
        """The serial number of the certificate that a client gets now."""
        said = self.debian.run(
            f"openssl s_client -connect {NAME}:443 -servername {NAME} </dev/null 2>/dev/null |"
            " openssl x509 -noout -serial"
        )
        return int(said.strip().removeprefix("serial="), 16)

    def property_of(self, name: str) -> str:
        return self.debian.run(f"systemctl show -P {name} apptuner-relay.service").strip()

    def until(self, is_so: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not is_so():
            if time.monotonic() > end_s:
                self.fail(self.debian.run("journalctl --no-pager -u apptuner-relay | tail -n 60"))
            time.sleep(0.2)

    def is_installed_as_the_page_says(self) -> None:
        run = self.debian.run
        owner = run("stat -c '%U %a' /proc/$(systemctl show -P MainPID apptuner-relay)").split()
        self.assertNotEqual(owner[0], "root")
        for path, mode in (
            ("/etc/apptuner-relay", "750 root _apptuner-relay"),
            ("/etc/apptuner-relay/relay.toml", "640 root _apptuner-relay"),
            ("/etc/apptuner-relay/admin.key", "640 root _apptuner-relay"),
            ("/etc/apptuner-relay/tls/", "750 root _apptuner-relay"),
            ("/etc/apptuner-relay/tls/privkey.pem", "640 root _apptuner-relay"),
        ):
            self.assertEqual(run(f"stat -c '%a %U %G' {path}").strip(), mode, path)
        newer = int(run("systemctl --version").split()[1]) >= 254
        there = "RestartSteps" in run("systemctl cat apptuner-relay.service")
        self.assertEqual(there, newer)
        # The socket was opened for it: it may not open one there by itself.
        self.assertEqual(self.property_of("CapabilityBoundingSet"), "")
        answer = run(f"curl -sS -o /dev/null -w '%{{http_code}}' https://{NAME}/ready")
        self.assertEqual(answer, "200")
        self.assertIn("/var/cache/apptuner-relay", run("ls -d /var/cache/apptuner-relay"))

    def a_renewal_reaches_the_relay(self) -> None:
        """Without a restart."""
        before = self.property_of("MainPID")
        pair = self.issue()
        said = self.debian.run("certbot renew")
        self.show(f"\n## A renewal\n\n# certbot renew\n{said}")
        self.assertNotIn("could not", said)
        self.until(lambda: self.served() == pair.serial)
        self.assertEqual(self.property_of("MainPID"), before)
        self.show(
            self.debian.run("journalctl --no-pager -o cat -u apptuner-relay -g 'TLS certificate'")
        )

    def half_a_renewal_does_not(self) -> None:
        """The hook says no, and all stays as it is."""
        serial, link = self.served(), "readlink /etc/apptuner-relay/tls"
        before = self.debian.run(link)
        other, new = self.authority.issue(), self.authority.issue(names=(NAME,))
        expired = self.authority.issue(-1, -9, (NAME,))
        for chain, key, why in (
            (new.chain, other.key, "another certificate's"),
            (new.chain[:200], new.key, "no certificate"),
            (new.chain, new.key[:100], "no private key"),
            (new.chain, b"", "missing or empty"),
            (expired.chain, expired.key, "has expired"),
        ):
            self.hand_out(chain, key)
            said = self.debian.run("certbot renew", status=1)
            self.assertIn(why, said)
            self.assertIn("stays in use", said)
            self.show(f"# certbot renew   (half a pair)\n{said}")
        self.assertEqual(self.debian.run(link), before)
        self.assertEqual(self.served(), serial)
        left = self.debian.run("ls -d /etc/apptuner-relay/tls-*").split()
        self.assertEqual(len(left), 2, left)

    def a_stuck_relay_is_started_again(self) -> None:
        """By the watchdog, which the test has look more often."""
        run = self.debian.run
        run("systemctl show -P WatchdogUSec apptuner-relay.service | grep -qx 30s")
        run(
            "mkdir -p /run/systemd/system/apptuner-relay.service.d\n"
            "printf '[Service]\\nWatchdogSec=2\\n'"
            " > /run/systemd/system/apptuner-relay.service.d/watchdog.conf\n"
            "systemctl daemon-reload\nsystemctl restart apptuner-relay.service"
        )
        stuck = self.property_of("MainPID")
        run(f"kill -STOP {stuck}")
        self.until(lambda: int(self.property_of("NRestarts")) >= 1)
        ready = f"curl -sS -o /dev/null -w '%{{http_code}}' https://{NAME}/ready"
        self.until(lambda: run(ready, None) == "200")
        self.assertNotIn(self.property_of("MainPID"), ("0", stuck))
        said = run("journalctl --no-pager -o cat -u apptuner-relay | grep -iE 'watchdog|scheduled'")
        self.assertIn("Watchdog timeout", said)
        self.show(f"\n## kill -STOP {stuck}: the watchdog\n\n{said}")
