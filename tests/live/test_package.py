"""ops/package: what it builds, and what becomes of a Debian where that is installed, used and
removed again; the notes of a release."""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from atexit import register
from functools import cache
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from apptuner_relay import __version__
from tests.live.chroot import Chroot, missing_chroot
from tests.live.ports import free_port
from tests.live.processes import REPOSITORY, Child, checkout_env, http, within_patience

PACKAGE = REPOSITORY / "ops/package"
CONF = "/etc/apptuner-relay/relay.toml"
CODE = "console.log('a bundle');\n" * 4000
_COMPLETE = """\
. /usr/share/bash-completion/bash_completion
_completion_loader apptuner-relay
complete -p apptuner-relay
"""
_TRACES = "find / -xdev -name '*apptuner*' -not -path '/tmp/*'; getent group _apptuner-relay"


class Phone(Child):
    """``apptuner-relay join``, which says on its standard error that it is there."""

    def __init__(self, argv: list[str], cwd: Path) -> None:
        self.joined: Deferred[None] = Deferred()
        super().__init__(argv, cwd)

    def errReceived(self, data: bytes) -> None:
        super().errReceived(data)
        if "connected" in self.err and not self.joined.called:
            self.joined.callback(None)


def package(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PACKAGE), *words],
        capture_output=True,
        text=True,
        check=False,
        env=checkout_env(),
    )


@cache
def built() -> Path:
    """The directory with what it has built of this checkout, once for all tests."""
    folder = tempfile.mkdtemp(prefix="apptuner-package-test-")
    register(shutil.rmtree, folder, ignore_errors=True)
    words = ["--no-lintian", f"--out={folder}"]
    done = package(*words, *([] if shutil.which("dpkg-deb") else ["--no-deb"]))
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(folder)


def the_deb() -> Path:
    if shutil.which("dpkg-deb") is None:
        raise SkipTest("needs Debian's dpkg")
    (deb,) = built().glob("*.deb")
    return deb


class NotesTest(SynchronousTestCase):
    def test_of_a_version(self) -> None:
        done = package("notes", "v0.1.0")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith("The first version"), done.stdout)
        self.assertNotIn("##", done.stdout)

    def test_links_lead_to_the_files_of_the_release(self) -> None:
        url = "https://github.com/example/relay"
        done = package("notes", "Unreleased", f"--url={url}/")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("### Added", done.stdout)
        self.assertIn(f"]({url}/blob/main/docs/reference/http.md#dictionaries)", done.stdout)
        self.assertNotRegex(done.stdout, r"\]\((docs|ops)/")

    def test_a_missing_section_is_one_line(self) -> None:
        done = package("notes", "9.9.9")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        start = "package: CHANGELOG.md has no section 9.9.9; it has "
        self.assertTrue(done.stderr.startswith(start), done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)


class BuildTest(TestCase):
    timeout = 600

    async def test_sdist_and_wheel(self) -> None:
        """twine and check-wheel-contents have let them pass, or there would be none."""
        folder = await deferToThread(built)
        wheel = folder / f"apptuner_relay-{__version__}-py3-none-any.whl"
        names = zipfile.ZipFile(wheel).namelist()
        for name in ("web/static/status.js", "client/completion_scripts/zsh", "commit.txt"):
            if name != "commit.txt" or (REPOSITORY / ".git").exists():
                self.assertIn(f"apptuner_relay/{name}", names)
        self.assertTrue(any(name.endswith("/man1/apptuner-relay.1") for name in names))
        self.assertEqual([name for name in names if "tests/" in name], [])
        with tarfile.open(folder / f"apptuner_relay-{__version__}.tar.gz") as sdist:
            members = {one.name.partition("/")[2]: one for one in sdist.getmembers()}
        for name in ("setup.py", "CHANGELOG.md", "LICENSE", "docs/man/apptuner-relay.1"):
            self.assertIn(name, members)
        self.assertEqual({one.uid for one in members.values()}, {0})
        self.assertEqual(len({one.mtime for one in members.values()}), 1)

    async def test_it_is_the_same_each_time(self) -> None:
        first = await deferToThread(built)
        with tempfile.TemporaryDirectory() as folder:
            done = await deferToThread(package, "--no-deb", f"--out={folder}")
            self.assertEqual(done.returncode, 0, done.stderr)
            for file in Path(folder).iterdir():
                self.assertEqual(file.read_bytes(), (first / file.name).read_bytes(), file.name)

    async def test_what_the_debian_package_says(self) -> None:
        deb = await deferToThread(the_deb)
        fields = dict(
            line.split(": ", 1)
            for line in subprocess.check_output(["dpkg-deb", "-f", deb], text=True).splitlines()
            if re.match(r"[A-Z][\w-]*: ", line)
        )
        self.assertEqual(fields["Package"], "apptuner-relay")
        self.assertTrue(fields["Version"].startswith(__version__), fields["Version"])
        minor = sys.version_info.minor
        self.assertIn(f"python3 (>= 3.{minor}~), python3 (<< 3.{minor + 1})", fields["Depends"])
        listed = subprocess.check_output(["dpkg-deb", "-c", deb], text=True)
        # What is built leaves no path of this machine, and nothing that Python makes by itself.
        self.assertNotIn(".pyc", listed)
        self.assertNotIn("direct_url.json", listed)
        self.assertRegex(listed, r"-rw-r----- root/root .* \./etc/apptuner-relay/relay\.toml\n")
        self.assertNotRegex(listed, r"(?m)^\S+ (?!root/root )")

    async def test_lintian(self) -> None:
        lintian = shutil.which("lintian")
        if lintian is None:
            raise SkipTest("needs Debian's lintian")
        words = [
            lintian,
            "--allow-root",
            "--fail-on=error,warning",
            str(await deferToThread(the_deb)),
        ]
        done = await deferToThread(
            subprocess.run, words, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)


class InstalledTest(TestCase):
    timeout = 900
    skip = missing_chroot()

    def prepare(self) -> None:
        deb = the_deb()
        self.debian = Chroot(Path(tempfile.mkdtemp(prefix="apptuner-debian-")) / "root")
        self.addCleanup(shutil.rmtree, self.debian.root.parent, ignore_errors=True)
        # One that is to be the same as before says so by its traces.
        self.before = self.debian.run("sh", "-c", _TRACES, status=None)
        shutil.copyfile(deb, self.debian.path("/tmp/relay.deb"))
        words = ("apt-get", "install", "-y", "--no-install-recommends", "/tmp/relay.deb")
        self.debian.run(*words)

    async def run_there(self, *words: str, status: int | None = 0) -> str:
        return await deferToThread(self.debian.run, *words, status=status)

    async def test_it_is_installed_used_and_removed(self) -> None:
        await deferToThread(self.prepare)
        await self.what_is_there()
        await self.units()
        await self.it_relays()
        await self.it_goes()

    async def what_is_there(self) -> None:
        said = await self.run_there("apptuner-relay", "--version")
        self.assertRegex(said, rf"^apptuner-relay {re.escape(__version__)}( \(\S+\))?\n$")
        for page in ("1 apptuner-relay", "1 apptuner-relay-push", "8 apptuner-relay-server"):
            await self.run_there("man", "-w", *page.split())
        self.assertIn("apptuner-relay", await self.run_there("bash", "-c", _COMPLETE))
        for place in ("zsh/vendor-completions/_", "fish/vendor_completions.d/"):
            found = list(self.debian.path("/usr/share").glob(f"{place}apptuner-relay*"))
            self.assertEqual(len(found), 1, place)
        for name in ("copyright", "changelog.gz", "changelog.Debian.gz"):
            self.assertTrue(self.debian.path(f"/usr/share/doc/apptuner-relay/{name}").exists())
        said = await self.run_there("stat", "-c", "%a %U:%G", CONF)
        self.assertEqual(said, "640 root:_apptuner-relay\n")
        # Nothing was left out or changed on the way.
        self.assertEqual(await self.run_there("dpkg", "--verify", "apptuner-relay"), "")

    async def units(self) -> None:
        units = ("apptuner-relay.service", "apptuner-relay.socket", "apptuner-relay@3001.service")
        said = await self.run_there("systemd-analyze", "verify", *units)
        self.assertEqual(said, "")
        said = await self.run_there("systemctl", "is-enabled", *units[:2])
        self.assertEqual(said, "enabled\nenabled\n")
        # The relay's own user may read the options by their group, nobody else may.
        user = ("setpriv", "--reuid=65000", "--regid=65000")
        group = (await self.run_there("getent", "group", "_apptuner-relay")).split(":")[2]
        await self.run_there(*user, f"--groups={group}", "head", "-1", CONF)
        await self.run_there(*user, "--clear-groups", "head", "-1", CONF, status=1)

    async def it_relays(self) -> None:
        port = free_port()
        conf = self.debian.path(CONF)
        text = conf.read_text().replace(
            '#listen = ["tcp:3000"]', f'listen = ["tcp:{port}:interface=127.0.0.1"]'
        )
        conf.write_text(text)
        said = await self.run_there("apptuner-relay", "serve", "--check", "--config", CONF)
        self.assertRegex(said, r"(?m)^  listen = .*\(/etc/apptuner-relay/relay\.toml: listen\)$")
        self.assertRegex(said, r" 0 failed\n$")

        listening: Deferred[None] = Deferred()

        def line(text: str) -> None:
            if f"listening on tcp:127.0.0.1:{port}" in text and not listening.called:
                listening.callback(None)

        # In the cache and state directories that the units have, as far as one can without them.
        relay = self.child("apptuner-relay", "serve", "--config", CONF, on_line=line)
        await within_patience(listening, lambda: repr(relay))
        health = (await http(f"tcp:127.0.0.1:{port}", "/health")).json()
        self.assertEqual(health["status"], "ok")

        where = ("--relay", f"ws://127.0.0.1:{port}", "--session", "ABC234")
        self.debian.path("/tmp/app.js").write_text(CODE)
        phone = Phone(self.debian.argv("apptuner-relay", "join", *where), cwd=Path("/"))
        self.addCleanup(phone.kill)
        await within_patience(phone.joined, phone.__repr__)
        said = await self.run_there("apptuner-relay", "push", "/tmp/app.js", *where)
        self.assertIn("acknowledged", said)
        said = await self.run_there("apptuner-relay", "fetch", *where, "--output", "/tmp/got.js")
        self.assertEqual(self.debian.path("/tmp/got.js").read_text(), CODE, said)
        for child in (phone, relay):
            child.signal("TERM")
            await within_patience(child.over(), child.__repr__)
            self.assertNotIn("Traceback", child.out + child.err)

    def child(self, *words: str, on_line: object) -> Child:
        argv = self.debian.argv(*words)
        child = Child(argv, cwd=Path("/"), on_line=on_line)  # type: ignore[arg-type]
        self.addCleanup(child.kill)
        return child

    async def it_goes(self) -> None:
        # As systemd makes them for the units.
        for parent in ("lib", "cache"):
            folder = self.debian.path(f"/var/{parent}/private/apptuner-relay-3001")
            folder.mkdir(parents=True)
            folder.joinpath("kept").write_text("x")
            link = self.debian.path(f"/var/{parent}/apptuner-relay-3001")
            link.symlink_to("private/apptuner-relay-3001")
        await self.run_there("apt-get", "remove", "-y", "apptuner-relay")
        self.assertFalse(self.debian.path("/usr/lib/apptuner-relay").exists())
        self.assertFalse(self.debian.path("/usr/bin/apptuner-relay").is_symlink())
        # What the operator has written, and claims, stay until they are purged.
        self.assertIn("listen = ", self.debian.path(CONF).read_text())
        self.assertTrue(self.debian.path("/var/lib/private/apptuner-relay-3001/kept").exists())
        await self.run_there("apt-get", "purge", "-y", "apptuner-relay")
        await self.run_there("sh", "-c", "rm -rf /root/.local /var/tmp/apptuner*")
        self.assertEqual(await self.run_there("sh", "-c", _TRACES, status=None), self.before)
