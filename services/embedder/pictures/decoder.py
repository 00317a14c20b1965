"""A process that decodes pictures, with so much memory and time for each; what kills it kills nothing else.

`python -m services.embedder.pictures.decoder` reads pictures from stdin and answers on stdout, one by one. It
knows no setting, no key and no network, and nothing that takes long to import.
"""

import os
import resource
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Final

from PIL import Image, features

from services.embedder.errors import DecoderAway, PictureRefused, TooLarge, Unreadable
from services.embedder.pictures.decode import decode_picture

REQUEST: Final = struct.Struct(">I")  # bytes of the picture, which follow
ANSWER: Final = struct.Struct(">BII")  # a kind of answer, then width and height, or bytes of a reason and 0
READY: Final = 0
PICTURE: Final = 1  # its RGB bytes follow
REFUSALS: Final[dict[int, type[PictureRefused]]] = {2: TooLarge, 3: Unreadable}  # the reason follows
REASON_MAX: Final = 500  # characters
ROOT: Final = Path(__file__).resolve().parents[3]
PAGE_BYTES: Final = resource.getpagesize()


class DecoderDied(Exception):
    """The process is gone; `signal_number` is what ended it, 0 where it ended by itself."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}" if signal_number else "by itself")
        self.signal_number = signal_number


class DecoderProcess:
    """One decoder, running. For one thread at a time. Raises DecoderDied."""

    def __init__(self, *, pixels_max: int, edge: int, memory_bytes: int, timeout_s: float) -> None:
        arguments = [pixels_max, edge, memory_bytes, timeout_s]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EDDY_")}
        environment["MALLOC_ARENA_MAX"] = "1"  # codecs' threads would keep what they freed each for itself
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._receive(ANSWER.size)

    @property
    def pid(self) -> int:
        """The process's."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be given a picture."""
        return self._process.poll() is None

    def decode(self, raw: bytes) -> Image.Image:
        """The picture, as `decode_picture` makes it. Raises what that raises."""
        try:
            self._requests.write(REQUEST.pack(len(raw)))
            self._requests.write(raw)
            self._requests.flush()
        except OSError:
            raise self._death() from None
        kind, width, height = ANSWER.unpack(self._receive(ANSWER.size))
        if kind == PICTURE:
            return Image.frombytes("RGB", (width, height), self._receive(3 * width * height))
        raise REFUSALS[kind](self._receive(width).decode(errors="replace"))

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        with suppress(OSError):  # what was not read of a picture that nobody waits for
            self._requests.close()
        self._answers.close()
        self._process.wait()

    def _receive(self, count: int) -> bytes:
        received = self._answers.read(count)
        if len(received) < count:
            raise self._death()
        return received

    def _death(self) -> DecoderDied:
        self.close()
        return DecoderDied(max(0, -self._process.returncode))


class DecoderPool:
    """So many decoders, each started when it is first needed, and anew after it has died."""

    def __init__(
        self, count: int, *, pixels_max: int, edge: int, memory_bytes: int, timeout_s: float
    ) -> None:
        self._pixels_max = pixels_max
        self._edge = edge
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._idle: SimpleQueue[DecoderProcess | None] = SimpleQueue()
        for _ in range(count):
            self._idle.put(None)

    def decode(self, raw: bytes) -> Image.Image:
        """The picture; waits for an idle decoder. Raises PictureRefused; may be used from several threads.

        A decoder that dies of a picture is given it once more: it may have been killed from outside.
        """
        decoder = self._idle.get()
        try:
            for may_die in (True, False):
                if decoder is None or not decoder.is_alive:
                    decoder = self._start()
                try:
                    return decoder.decode(raw)
                except DecoderDied as death:
                    decoder = None
                    if death.signal_number == signal.SIGALRM:
                        raise Unreadable(
                            f"decoding the picture takes more than {self._timeout_s:g} s"
                        ) from None
                    if not may_die:
                        raise Unreadable(f"a decoder died of the picture ({death})") from None
            raise AssertionError("unreachable")
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """Ends the decoders that are idle; others end by themselves, in so much time as a picture has."""
        while not self._idle.empty():
            if (decoder := self._idle.get()) is not None:
                decoder.close()

    def _start(self) -> DecoderProcess:
        try:
            return DecoderProcess(
                pixels_max=self._pixels_max,
                edge=self._edge,
                memory_bytes=self._memory_bytes,
                timeout_s=self._timeout_s,
            )
        except (OSError, DecoderDied) as error:
            raise DecoderAway(f"no decoder of pictures starts: {error}") from None


def serve(requests: IO[bytes], answers: IO[bytes], *, pixels_max: int, edge: int, timeout_s: float) -> None:
    """Decodes until the requests end."""
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        raw = requests.read(*REQUEST.unpack(head))
        # The kernel's own end to whatever takes too long, C code too, and when nobody is left who waits.
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            picture = decode_picture(raw, pixels_max=pixels_max, edge=edge)
            answers.write(ANSWER.pack(PICTURE, *picture.size))
            answers.write(picture.tobytes())
            del picture
        except PictureRefused as refusal:
            reason = str(refusal)[:REASON_MAX].encode(errors="replace")
            kind = next(number for number, each in REFUSALS.items() if isinstance(refusal, each))
            answers.write(ANSWER.pack(kind, len(reason), 0))
            answers.write(reason)
        answers.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)
        del raw  # not held beside the next one


def limit_process(memory_bytes: int) -> None:
    """So many bytes beside what is loaded by now; no core files, and no file longer than nothing."""
    loaded = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * PAGE_BYTES
    for what, most in (
        (resource.RLIMIT_AS, loaded + memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(what, (most, most))


def main() -> None:
    """Reads the limits from the command line."""
    pixels_max, edge, memory_bytes = map(int, sys.argv[1:4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the embedder, whose end ends this
    Image.preinit()
    Image.init()  # plug-ins are loaded before memory is short
    for each in features.get_supported_modules():
        features.version(each)
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):  # systems without /proc or without these limits
        limit_process(memory_bytes)
    answers.write(ANSWER.pack(READY, 0, 0))
    answers.flush()
    for stream in (1, 2):  # codecs write about what is odd in a picture to wherever they like
        os.dup2(nowhere, stream)
    serve(sys.stdin.buffer, answers, pixels_max=pixels_max, edge=edge, timeout_s=float(sys.argv[4]))


if __name__ == "__main__":
    main()
