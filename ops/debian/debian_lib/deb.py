"""The Debian package: a virtual environment with the relay, its units, and what goes with it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

from debian_lib.changes import UNRELEASED, Section, debian_changelog
from debian_lib.sources import disk_kib, files_below, gzip_file, set_times

NAME = "apptuner-relay"
HOME = f"usr/lib/{NAME}"
"""Where the virtual environment is, below the root."""
EXTRAS = "client,redis,delta"
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
NEXT_MINOR = f"{sys.version_info.major}.{sys.version_info.minor + 1}"
PROGRAMS = ("apptuner-relay", "python", "python3", f"python{MINOR}", "twistd")
"""What stays in its bin directory. The packages that the relay needs bring twenty more."""
MOVED = {
    "/opt/apptuner-relay/current/bin/": f"/{HOME}/bin/",
    "/usr/local/lib/apptuner-relay/": f"/{HOME}/",
}
"""Where units look for what is elsewhere in this package."""
UNITS = (".service", ".socket", ".target")
DROP_INS = ("config.conf", *(["systemd-254.conf"] if sys.version_info >= (3, 12) else []))
"""Of both services. Debian 12, with Python 3.11, has systemd 252."""
NOT_INSTALLED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""What pip writes of an installation of its own, with the paths of this machine."""
LEFT_OUT = (
    *("autobahn/**/test", "treq/test", "twisted/**/test", "zope/**/tests"),
    *("autobahn/_flatc", "twisted/**/newsfragments"),
)
"""Directories of packages that a relay doesn't read: their own tests, which are a third of all
modules, a compiler and drafts of news."""
SHELLS = {
    "bash": "usr/share/bash-completion/completions/apptuner-relay",
    "zsh": "usr/share/zsh/vendor-completions/_apptuner-relay",
    "fish": "usr/share/fish/vendor_completions.d/apptuner-relay.fish",
}
CONF = "/etc/apptuner-relay/relay.toml"
CONF_NOTE = f"""\
# {CONF}: the options of all relays of this machine that systemd runs.
#
# listen and spool-dir have no effect here: the units say where. For another port, edit the socket:
# systemctl edit apptuner-relay.socket. After a change:
#   apptuner-relay serve --check --config {CONF}
#   systemctl restart apptuner-relay

"""
DESCRIPTION = """\
streaming WebSocket relay of AppTuner, hot reload for React Native
 Relays the bundles that AppTuner's CLI sends at every save to the phones that
 have joined a session, while they arrive. Caches a session's last bundle on
 disk, sends only what has changed to clients that take patches, and shares
 sessions between several relays through Redis.
 .
 The package has the relay as a service of systemd on port 3000, with its
 options in /etc/apptuner-relay/relay.toml, and the program apptuner-relay,
 which runs, checks, watches and measures relays."""

Run = Callable[..., None]


class Release(NamedTuple):
    """What is built."""

    version: str
    """Of the relay, such as ``0.2.0``."""
    commit: str
    """Such as ``5e5866a``; may be empty."""
    date: datetime
    """What the files are of."""
    sections: list[Section]
    """Of the changelog."""
    maintainer: str

    @property
    def section(self) -> str:
        """The name of this version's section in the changelog."""
        released = any(one.name == self.version for one in self.sections)
        return self.version if released else UNRELEASED

    @property
    def debian_version(self) -> str:
        """Such as ``0.2.0-1``. What isn't released has a lower one, which grows with time."""
        if self.section == self.version:
            return f"{self.version}-1"
        commit = re.sub("[^0-9a-z]", ".", self.commit)
        return f"{self.version}~{self.date:%Y%m%d%H%M%S}" + (f".g{commit}" if commit else "") + "-1"


class DebianPackage:
    """The tree of a package, which `fill` makes and `close` packs."""

    def __init__(self, repository: Path, root: Path, release: Release, run: Run) -> None:
        self._repository = repository
        self._static = repository / "ops" / "debian"
        self._root = root
        self._home = root / HOME
        self._release = release
        self._run = run

    def fill(self, wheel: Path, python: Path, constraint: Path | None) -> None:
        """Put everything into the tree.

        :param python: one that has pip.
        """
        self._install(wheel, python, constraint)
        self._list_plugins()
        self._relocate()
        self._add_units()
        self._add_pages()
        self._add_documents()
        conf = self._root / CONF.lstrip("/")
        text = (self._repository / "ops/relay.toml").read_text("utf-8")
        self._write(conf, CONF_NOTE + text, 0o640)
        conf.parent.chmod(0o750)

    def close(self, out: Path) -> Path:
        """Pack it. Returns the package."""
        for folder in (path for path in self._root.rglob("*") if path.is_dir()):
            if folder.stat().st_mode & 0o777 != 0o750:
                folder.chmod(0o755)
        self._add_control()
        set_times(self._root, self._release.date)
        done = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True)
        architecture = done.stdout.decode().strip()
        deb = out / f"{NAME}_{self._release.debian_version}_{architecture}.deb"
        self._run(["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", self._root, deb])
        return deb

    def _install(self, wheel: Path, python: Path, constraint: Path | None) -> None:
        self._run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", self._home])
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--python"]
        words: list[str | Path] = [*pip, self._home / "bin/python", "install", "--quiet"]
        # Wheels only: what is compiled here could need libraries that other machines lack.
        words += ["--only-binary=:all:", "--no-compile", f"{wheel}[{EXTRAS}]"]
        if constraint is not None:
            words += ["--constraint", constraint]
        self._run(words)

    @property
    def _packages(self) -> Path:
        return self._home / f"lib/python{MINOR}/site-packages"

    def _list_plugins(self) -> None:
        """Have Twisted write down its plugins, as it can't where the relay runs."""
        program = "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"
        self._run([self._home / "bin/python", "-B", "-c", program])
        for folder in [*self._packages.rglob("__pycache__")]:
            shutil.rmtree(folder)

    def _relocate(self) -> None:
        """Have it run where it will be installed, on Debian's own Python."""
        bin_folder = self._home / "bin"
        for path in bin_folder.iterdir():
            if path.name not in PROGRAMS:
                path.unlink()
            elif not path.is_symlink():
                _, _, rest = path.read_text("utf-8").partition("\n")
                self._write(path, f"#!/{HOME}/bin/python3\n{rest}", 0o755)
        for name in ("python", "python3", f"python{MINOR}"):
            (bin_folder / name).unlink(missing_ok=True)
            (bin_folder / name).symlink_to(f"../../../bin/python{MINOR}")
        self._write(
            self._home / "pyvenv.cfg",
            f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {MINOR}\n",
        )
        shutil.rmtree(self._home / "include", ignore_errors=True)
        (self._home / "lib64").unlink(missing_ok=True)
        for info in self._packages.glob("*.dist-info"):
            for name in NOT_INSTALLED:
                (info / name).unlink(missing_ok=True)
        for pattern in LEFT_OUT:
            for folder in [*self._packages.glob(pattern)]:
                shutil.rmtree(folder)
        for path in files_below(self._packages):
            path.chmod(0o644)
        self._link(f"../lib/{NAME}/bin/{NAME}", f"usr/bin/{NAME}")

    def _add_units(self) -> None:
        """The units and drop-ins of ops/systemd, and what they run, with the paths of a package."""
        source, system = self._repository / "ops/systemd", self._root / "usr/lib/systemd/system"
        places = {path: system / path.name for path in files_below(source) if path.suffix in UNITS}
        for name in DROP_INS:
            for unit in (NAME, f"{NAME}@"):
                self._write(system / f"{unit}.service.d/{name}", (source / name).read_text("utf-8"))
        # What they and certbot run. How the rest is put on a machine without a package is no part.
        programs = [one for one in files_below(source) if one.stat().st_mode & 0o100]
        places |= {one: self._home / one.name for one in programs if one.name != "install"}
        moved = set()
        for path, place in places.items():
            text = path.read_text("utf-8")
            for old, new in MOVED.items():
                moved |= {old} if old in text else set()
                text = text.replace(old, new)
            stray = re.search("/opt/|/usr/local/", text)
            assert stray is None, f"{path} names {stray}: say in MOVED where that is"
            self._write(place, text, 0o755 if path in programs else 0o644)
        assert moved == set(MOVED), f"no unit names {set(MOVED) - moved}"

    def _add_pages(self) -> None:
        """The manual and the shells' completion, which the wheel has."""
        pages = self._home / "share/man"
        for page in files_below(pages):
            place = self._root / "usr/share/man" / page.relative_to(pages)
            self._write(place, page.read_text("utf-8"))
            gzip_file(place)
        shutil.rmtree(self._home / "share")
        scripts = self._packages / "apptuner_relay/client/completion_scripts"
        for shell, place in SHELLS.items():
            self._write(self._root / place, (scripts / shell).read_text("utf-8"))

    def _add_documents(self) -> None:
        release, doc = self._release, self._root / "usr/share/doc" / NAME
        self._write(doc / "changelog", (self._repository / "CHANGELOG.md").read_text("utf-8"))
        debian = debian_changelog(
            release.sections,
            NAME,
            release.section,
            release.debian_version,
            release.date,
            release.maintainer,
        )
        self._write(doc / "changelog.Debian", debian)
        for name in ("changelog", "changelog.Debian"):
            gzip_file(doc / name)
        self._write(doc / "copyright", "".join(self._copyright()))
        overrides = (self._static / "lintian-overrides").read_text("utf-8")
        self._write(self._root / "usr/share/lintian/overrides" / NAME, overrides)

    def _copyright(self) -> Iterator[str]:
        yield (
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
            "Upstream-Name: AppTuner Relay\n"
            "Comment: The package has these packages of the Python Package Index, too. Their\n"
            f" licences are in /{HOME}/lib, in the directory *.dist-info of each.\n"
        )
        for name, version, license_name in sorted(self._distributions()):
            yield f" * {name} {version}: {license_name}\n"
        license_text = (self._repository / "LICENSE").read_text("utf-8").splitlines()
        holder = next(line for line in license_text if line.startswith("Copyright"))
        body = "\n".join(f" {line}" if line else " ." for line in license_text[4:])
        yield f"\nFiles: *\nCopyright: {holder.removeprefix('Copyright (c) ')}\nLicense: Expat\n"
        yield f"{body}\n"

    def _distributions(self) -> Iterator[tuple[str, str, str]]:
        """The name, the version and the licence of all but the relay."""
        for path in self._packages.glob("*.dist-info/METADATA"):
            facts = Parser().parsestr(path.read_text("utf-8"), headersonly=True)
            if facts["Name"] == NAME:
                continue
            name = facts["License-Expression"] or (facts["License"] or "").partition("\n")[0]
            if not name:
                classifiers = facts.get_all("Classifier", [])
                found = [one for one in classifiers if one.startswith("License")]
                name = ", ".join(one.rpartition(" :: ")[2] for one in found)
            yield facts["Name"], facts["Version"], name or "see there"

    def _add_control(self) -> None:
        control = self._root / "DEBIAN"
        for script in ("postinst", "prerm", "postrm"):
            text = (self._static / script).read_text("utf-8").replace("@PYTHON@", MINOR)
            self._write(control / script, text, 0o755)
        self._write(control / "conffiles", f"{CONF}\n")
        files = [one for one in files_below(self._root) if control not in one.parents]
        sums = (
            f"{hashlib.md5(one.read_bytes(), usedforsecurity=False).hexdigest()}  "
            f"{one.relative_to(self._root)}\n"
            for one in files
            if one != self._root / CONF.lstrip("/")
        )
        self._write(control / "md5sums", "".join(sums))
        done = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True)
        depends = [f"python3 (>= {MINOR}~)", f"python3 (<< {NEXT_MINOR})", f"python{MINOR}"]
        facts = {
            "Package": NAME,
            "Version": self._release.debian_version,
            "Section": "net",
            "Priority": "optional",
            "Architecture": done.stdout.decode().strip(),
            "Maintainer": self._release.maintainer,
            "Installed-Size": disk_kib(self._root),
            "Depends": ", ".join([*depends, *self._libraries(), "adduser", "procps"]),
            "Recommends": "ca-certificates, systemd",
            "Suggests": "certbot, openssl",
            "Description": DESCRIPTION,
        }
        self._write(control / "control", "".join(f"{key}: {of}\n" for key, of in facts.items()))

    def _libraries(self) -> list[str]:
        """What compiled modules need: glibc as their wheels say, the others as they name them."""
        minor = 17
        for path in self._packages.glob("*.dist-info/WHEEL"):
            tags = re.findall(r"^Tag: \S+-(\S+)$", path.read_text("utf-8"), re.MULTILINE)
            # A wheel for several versions runs on the lowest of them.
            found = [int(one) for tag in tags for one in re.findall(r"manylinux_2_(\d+)_", tag)]
            minor = max(minor, min(found, default=0))
        modules = [path.read_bytes() for path in self._packages.rglob("*.so")]
        named = {"libstdc++6": b"libstdc++.so.6\0", "libgcc-s1": b"libgcc_s.so.1\0"}
        needed = [name for name, text in named.items() if any(text in one for one in modules)]
        return [f"libc6 (>= 2.{minor})", *needed]

    def _write(self, path: Path, text: str, mode: int = 0o644) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        path.chmod(mode)

    def _link(self, target: str, inside: str) -> None:
        path = self._root / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, path)
