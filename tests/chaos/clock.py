"""Wall clocks that can be set: a few lines of C between a process and its C library's clocks.

It stands in for libfaketime, and shifts only what tells the time of day: monotonic clocks go on as they are.
"""

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *at = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED) offset = at;
    close(file);
}

static long long shift(void) { return offset ? *offset : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *told) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told) *told = now.tv_sec;
    return now.tv_sec;
}
"""


class Clocks:
    """One clock for each name; without a C compiler there are none, and `here` is False."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clocks"
        self._library = self._folder / "clock.so"
        self.here = shutil.which("gcc") is not None

    def make(self) -> None:
        """Compile what goes between."""
        self._folder.mkdir()
        source = self._folder / "clock.c"
        source.write_text(_SOURCE)
        command = ["gcc", "-O1", "-shared", "-fPIC", "-o", self._library, source, "-ldl"]
        subprocess.run(command, check=True, capture_output=True)

    def environment(self, name: str) -> dict[str, str]:
        """For a process that is to follow this clock."""
        if not self.here:
            return {}
        self.set(name, 0)
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._folder / name)}

    def set(self, name: str, seconds: int) -> None:
        """So far from the true time, at once."""
        path = self._folder / name
        if not path.exists():
            path.write_bytes(struct.pack("q", seconds))
            return
        with path.open("r+b") as file:
            file.write(struct.pack("q", seconds))
