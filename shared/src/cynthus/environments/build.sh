#!/bin/sh
# Builds first_process.c for one processor: build.sh TARGET [COMPILER]
set -eu
here=$(dirname "$0")
exec "${2:-gcc}" -Os -Wall -Wextra -std=gnu11 -static -nostdlib -nostartfiles -ffreestanding -fno-builtin \
    -fno-stack-protector -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-pic -no-pie -fno-ident \
    -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro -Wl,-z,noexecstack -s -o "$1" "$here/first_process.c"
