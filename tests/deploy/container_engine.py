"""Buildah and Podman without a daemon, with a store of their own, and bases that need no registry of images.

`debootstrap` makes what the Dockerfiles take Debian's image for. What they take a distroless image for is made from the
same files: those of the packages that are in it, no shell and no package manager among them.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deploy.docker import build

TOOLS = ("debootstrap", "buildah", "podman", "runc")
DEBIAN = "localhost/debian"
DISTROLESS = "localhost/distroless"
SERVICE = "identity"
"""The service whose image is built: the one with the fewest packages."""
BUILDS: Mapping[str, Mapping[str, str]] = {
    # On Debian, without a shell in the end, as the Dockerfile's defaults are.
    SERVICE: {"BUILD_IMAGE": DEBIAN, "BASE_IMAGE": DISTROLESS},
    # PostgreSQL's programs are Debian's.
    "backup": {"BUILD_IMAGE": DEBIAN, "BASE_IMAGE": DEBIAN, "PACKAGES": "python3 postgresql-client"},
}
"""What is built, with its build arguments."""
# What Debian's Python needs to run, and whatever is linked against C and C++: no sh, apt, dpkg or perl.
PACKAGES = frozenset(
    (
        *("base-files", "ca-certificates", "libbz2-1.0", "libc6", "libcrypt1", "libexpat1", "libffi8", "libgcc-s1"),
        *("liblzma5", "libncursesw6", "libpython3-stdlib", "libpython3.11-minimal", "libpython3.11-stdlib"),
        *("libreadline8", "libsqlite3-0", "libssl3", "libstdc++6", "libtinfo6", "libuuid1", "netbase"),
        *("python3-minimal", "python3.11-minimal", "tzdata", "zlib1g"),
    )
)

LATER = ("nice", "-n", "5")
"""Before what tests that run meanwhile go before."""
ROOM = 2 << 30
"""Bytes that builds and their store take, at most."""
# What nobody reads in a container that only tests look at: packages as they came, manuals, other languages.
UNREAD = ("var/cache/apt/archives", "usr/share/doc", "usr/share/man", "usr/share/locale")


class ContainerEngine:
    """Builds and runs images; everything that it makes is in one folder.

    What it has to know of the process it learns at once: it also works in a thread beside tests that change that.

    Args:
        folder: A short path: Podman takes no more than 50 characters for what runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tmp").mkdir()
        # Caches of builds, too, go where they are removed. What is lost with the machine need not be written out.
        self._environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "DPKG_FORCE": "unsafe-io"}
        self._pip = pip_configuration(folder / "pip.conf")
        store = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        # A folder that is an overlay itself, as in a container, takes no second one.
        overlay = [*store, "--storage-driver", "overlay"]
        works = subprocess.run(["podman", *overlay, "info"], capture_output=True, check=False).returncode == 0
        self.store = overlay if works else [*store, "--storage-driver", "vfs"]
        self.podman = [
            "podman",
            *self.store,
            "--runtime",
            "runc",
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "file",
        ]

    def call(self, *command: str) -> str:
        """Runs a command to its end. Raises AssertionError with what it said when it fails."""
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def make_bases(self) -> None:
        """Makes DEBIAN and DISTROLESS."""
        suite = re.search(r"^ARG BUILD_IMAGE=\S+:(\w+)", build.dockerfile("chat").read_text(), re.MULTILINE)
        assert suite is not None
        root = self.folder / "debian"
        self.call(
            *LATER, "debootstrap", "--variant=minbase", "--include=ca-certificates,python3", suite.group(1), str(root)
        )
        self._import(distroless(root, self.folder / "distroless"), DISTROLESS)
        for unread in UNREAD:
            shutil.rmtree(root / unread)
        self._import(root, DEBIAN)

    def _import(self, root: Path, name: str) -> None:
        archive = self.folder / "tmp" / "base.tar"
        self.call("tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), ".")
        self.call(*self.podman, "import", "--quiet", str(archive), name)
        archive.unlink()
        shutil.rmtree(root)

    def build(self, image: str, **arguments: str) -> str:
        """Builds one of deploy.docker.build's images with these build arguments, and says its name."""
        config, volumes = self._pip
        extra = ["--isolation", "chroot", *self.store]
        extra += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        extra += [word for path in volumes for word in ("--volume", f"{path}:{path}:ro")]
        self.call(
            *LATER,
            *build.command(image, using="buildah", registry="localhost", tag="test", pip_config=config, extra=extra),
        )
        return f"localhost/parley/{image}:test"

    def configuration(self, image: str) -> dict[str, Any]:
        """What an image says about how it is run."""
        (found,) = json.loads(self.call(*self.podman, "image", "inspect", image))
        return dict(found["Config"])

    def run(self, image: str, *command: str, name: str = "", options: Sequence[str] = ()) -> list[str]:
        """The command that runs a container as the chart's pods are: read-only, nobody in particular, no capability."""
        return [
            *self.podman,
            "run",
            "--rm",
            *(["--name", name] if name else []),
            *([] if any(option.startswith("--network") for option in options) else ["--network=host"]),
            "--read-only",
            "--read-only-tmpfs=false",
            "--tmpfs=/tmp",
            "--user=65532:65532",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=1024:1024",
            *options,
            image,
            *command,
        ]

    @contextlib.contextmanager
    def running(
        self, image: str, name: str, options: Sequence[str], *command: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A container in the background, gone at the end."""
        process = subprocess.Popen(self.run(image, *command, name=name, options=options), env=self._environment)
        try:
            yield process
        finally:
            if process.poll() is None:
                self.signal(name, "KILL")
                process.wait()

    def signal(self, name: str, signal: str) -> None:
        """Sends a running container a signal."""
        self.call(*self.podman, "kill", "--signal", signal, name)

    def remove(self) -> None:
        """Removes everything; does nothing the second time."""
        # The store is mounted onto itself.
        for line in sorted(Path("/proc/self/mounts").read_text().splitlines(), reverse=True):
            if (place := line.split()[1]).startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def distroless(root: Path, into: Path) -> Path:
    """The files of PACKAGES and what Debian's set-up made of them, copied out of a Debian.

    Args:
        root: The Debian.
        into: A folder, which is made.
    """
    lists = [path for path in (root / "var/lib/dpkg/info").glob("*.list") if path.stem.partition(":")[0] in PACKAGES]
    found = {line for path in lists for line in path.read_text().splitlines()}
    # What is no package's: links at the root, the linker's cache, the certificates' bundle, who users are.
    found |= {
        "/bin",
        "/lib",
        "/lib64",
        "/sbin",
        "/etc/ld.so.cache",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/passwd",
    }
    into.mkdir()
    for folder in ("tmp", "proc", "sys", "dev", "run"):
        (into / folder).mkdir()
    (into / "tmp").chmod(0o1777)
    for line in sorted(found):
        source = root / line[1:]
        if source.is_symlink() or source.is_file():
            # /lib is a link to /usr/lib: what packages name there is there.
            target = into / source.parent.resolve().relative_to(root.resolve()) / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return into


def pip_configuration(into: Path) -> tuple[Path, list[str]]:
    """This machine's configuration of pip as one file, and the files and folders on it that it names."""
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    options: dict[str, str] = {}
    volumes: set[str] = set()
    for line in answer.splitlines():
        key, _, value = line.partition("=")
        options[key.rpartition(".")[2]] = text = " ".join(ast.literal_eval(value).split())
        for word in text.split():
            # Pages of an index lead to files beside their folder.
            path = str(Path(word.removeprefix("file://")).parent) if word.startswith("file:///") else word
            if path.startswith("/") and Path(path).exists():
                volumes.add(path)
    into.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))
    return into, sorted(volumes)


class Images:
    """Images that are built in the background, one after another, while other tests run.

    Args:
        engine: Builds them.
    """

    def __init__(self, engine: ContainerEngine) -> None:
        self._engine = engine
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="images")
        self._bases = self._worker.submit(engine.make_bases)
        self._images = {image: self._worker.submit(self._build, image) for image in BUILDS}

    def _build(self, image: str) -> str:
        self._bases.result()
        return self._engine.build(image, **BUILDS[image])

    def engine(self) -> ContainerEngine:
        """The engine, once its bases are there. Raises AssertionError with what went wrong with them."""
        self._bases.result()
        return self._engine

    def image(self, image: str) -> str:
        """The name of one of BUILDS, once it is built. Raises AssertionError with what went wrong."""
        return self._images[image].result()

    def close(self) -> None:
        """Ends with the build that is under way, and removes everything."""
        self._worker.shutdown(cancel_futures=True)
        self._engine.remove()


def absent() -> str:
    """What is missing for builds; empty where nothing is."""
    tools = [tool for tool in TOOLS if not shutil.which(tool)]
    if tools:
        return f"{', '.join(tools)} (apt-get install {' '.join(TOOLS)})"
    return "" if os.geteuid() == 0 else "root, which debootstrap needs,"


def roomy(memory: Path = Path("/dev/shm")) -> Path | None:  # noqa: S108 -- what is made there has a random name
    """A folder that no disk has, where there is memory for it. None: the usual one for temporary files."""
    if not memory.is_dir() or shutil.disk_usage(memory).free < 2 * ROOM:
        return None
    (available,) = re.findall(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return memory if int(available) * 1024 > 4 * ROOM else None


def building() -> Images:
    """The images of BUILDS, begun."""
    return Images(ContainerEngine(Path(tempfile.mkdtemp(prefix="parley-images-", dir=roomy()))))
