/*
 * The first process of a container, in any image: it needs no library, no shell and no file of the image.
 *
 * It gives the program its standard output and error as the FIFOs that the worker reads, so that every byte
 * arrives as it was written, at once, and outlives worker and engine; it passes signals on, reaps orphans,
 * and writes down how the program really ended: 137 may be an exit code, a signal or a lack of memory.
 *
 * Folder /run/cynthus (bound by the worker):
 *   environment  FIFO: 4 bytes length (little endian), then NAME=value, each ended by a zero byte. Secrets
 *                come this way, so that neither the engine nor a disk ever has them.
 *   stdout, stderr  FIFOs.
 *   bell         FIFO: a byte when the status has changed.
 *   status       lines: "started", or "failed <errno> <1 if the file exists>"; at the end
 *                "ended <code> <signal> <mask of signals from outside> <CPU us> <peak KiB>", then
 *                "file <path>" with what the kernel counted, and "end".
 *
 * Built by build.sh; a test builds it again and compares.
 */

typedef unsigned long word;
typedef long number;

#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, CLOSE = 3, MMAP = 9, SIGPROCMASK = 14, CLONE = 56, EXECVE = 59, EXIT = 231,
       WAIT4 = 61, KILL = 62, SETSID = 112, SIGTIMEDWAIT = 128, OPENAT = 257, FACCESSAT = 269, DUP3 = 292,
       PIPE2 = 293 };
static number call(number n, word a, word b, word c, word d, word e, word f) {
    register word r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    number result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call begin\n");
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, CLOSE = 57, MMAP = 222, SIGPROCMASK = 135, CLONE = 220, EXECVE = 221,
       EXIT = 94, WAIT4 = 260, KILL = 129, SETSID = 157, SIGTIMEDWAIT = 137, OPENAT = 56, FACCESSAT = 48,
       DUP3 = 24, PIPE2 = 59 };
static number call(number n, word a, word b, word c, word d, word e, word f) {
    register word x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                  x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
__asm__(".globl _start\n_start: mov x29,#0\n mov x0,sp\n and sp,x0,#-16\n bl begin\n");
#else
#error "add the system calls of this processor"
#endif

#define CALL(n, a, b, c, d) call(n, (word)(a), (word)(b), (word)(c), (word)(d), 0, 0)

enum { HERE = -100, RDONLY = 0, WRONLY = 1, RDWR = 2, APPEND = 02000, NONBLOCK = 04000, CLOEXEC = 02000000 };
enum { ENOENT = 2, EACCES = 13, ENOTDIR = 20, EINTR = 4, CHILD = 17, ALL_SIGNALS = 8, SENDER = 4,
       LARGEST = 16 << 20 };
#define FOLDER "/run/cynthus/"

void *memcpy(void *to, const void *from, word count) {
    for (word i = 0; i < count; i++) ((char *)to)[i] = ((const char *)from)[i];
    return to;
}
void *memset(void *to, int value, word count) {
    for (word i = 0; i < count; i++) ((volatile char *)to)[i] = (char)value;
    return to;
}
static word length(const char *text) {
    word count = 0;
    while (text[count]) count++;
    return count;
}
static number open(const char *path, int how) { return CALL(OPENAT, HERE, path, how, 0); }
static void quit(int code) { for (;;) CALL(EXIT, code, 0, 0, 0); }

struct text { char bytes[512]; word count; };
static void add(struct text *text, const char *more) {
    for (word i = 0; more[i] && text->count < sizeof text->bytes; i++) text->bytes[text->count++] = more[i];
}
static void add_number(struct text *text, word value) {
    char digits[24];
    int at = sizeof digits - 1;
    digits[at] = 0;
    do digits[--at] = '0' + value % 10; while (value /= 10);
    add(text, " ");
    add(text, digits + at);
}

static int status, bell;
static void tell(struct text *text) {
    CALL(WRITE, status, text->bytes, text->count, 0);
    text->count = 0;
}
static void ring(void) { CALL(WRITE, bell, "!", 1, 0); }

static void show(const char *path) {
    struct text line = {.count = 0};
    number file = open(path, RDONLY), count;
    if (file < 0) return;
    add(&line, "file ");
    add(&line, path);
    add(&line, "\n");
    tell(&line);
    while ((count = CALL(READ, file, line.bytes, sizeof line.bytes, 0)) > 0) CALL(WRITE, status, line.bytes, count, 0);
    CALL(CLOSE, file, 0, 0, 0);
}

static char *block(word size) {
    number place = call(MMAP, 0, size, 3, 0x22, -1, 0);
    return place < 0 && place > -4096 ? 0 : (char *)place;
}

/* The environment as the worker sent it: a list of pointers into one block; 0 when it did not come whole. */
static char **environment(void) {
    number pipe = open(FOLDER "environment", RDONLY | NONBLOCK);
    unsigned int size = 0;
    word done = 0, entries = 0, entry = 0;
    if (pipe < 0 || CALL(READ, pipe, &size, 4, 0) != 4 || size > LARGEST) return 0;
    char *data = block(size + 1);
    while (data && done < size) {
        number count = CALL(READ, pipe, data + done, size - done, 0);
        if (count == -EINTR) continue;
        if (count <= 0) return 0;
        done += count;
    }
    CALL(CLOSE, pipe, 0, 0, 0);
    for (word i = 0; i < size; i++) entries += !data[i];
    char **list = (char **)block((entries + 1) * sizeof *list);
    if (!data || !list) return 0;
    for (word start = 0; start < size && entry < entries; start += length(data + start) + 1)
        list[entry++] = data + start;
    list[entry] = 0;
    return list;
}

static const char *search_path(char **variables) {
    for (; *variables; variables++) {
        const char *item = *variables, *name = "PATH=";
        while (*name && *item == *name) item++, name++;
        if (!*name) return item;
    }
    return "/usr/local/bin:/usr/bin:/bin";
}

static int exists;
static number attempt(const char *path, char **arguments, char **variables) {
    number error = CALL(EXECVE, path, arguments, variables, 0);
    if (CALL(FACCESSAT, HERE, path, 0, 0) == 0) exists = 1;
    return -error;
}

/* As a shell would find it: a path, else each place of PATH, else the folder of the project. */
static number execute(char **arguments, char **variables) {
    const char *name = arguments[0], *place = search_path(variables);
    char path[4096];
    word size = length(name);
    number worst = ENOENT;
    for (const char *at = name; *at; at++)
        if (*at == '/') return attempt(name, arguments, variables);
    while (size && size < 2048) {
        word count = 0;
        while (place[count] && place[count] != ':') count++;
        if (count && count < 2000) {
            memcpy(path, place, count);
            path[count] = '/';
            memcpy(path + count + 1, name, size + 1);
            number error = attempt(path, arguments, variables);
            if (error != ENOENT && error != ENOTDIR) worst = error;
            if (exists && error == ENOENT) return error;
        }
        if (!place[count]) break;
        place += count + 1;
    }
    if (worst != ENOENT || !size || size >= 2048) return worst;
    memcpy(path, "./", 2);
    memcpy(path + 2, name, size + 1);
    return attempt(path, arguments, variables);
}

static void become(char **arguments, char **variables, int report) {
    word none = 0;
    int failure[2];
    CALL(SETSID, 0, 0, 0, 0);
    CALL(DUP3, open("/dev/null", RDONLY | CLOEXEC), 0, 0, 0);
    CALL(DUP3, open(FOLDER "stdout", WRONLY | CLOEXEC), 1, 0, 0);
    CALL(DUP3, open(FOLDER "stderr", WRONLY | CLOEXEC), 2, 0, 0);
    CALL(SIGPROCMASK, 2, &none, 0, ALL_SIGNALS);
    failure[0] = (int)execute(arguments, variables);
    failure[1] = exists;
    CALL(WRITE, report, failure, sizeof failure, 0);
    quit(127);
}

struct used { number user_s, user_us, system_s, system_us, peak_kib, rest[13]; };

static void finish(int ended, word asked, struct used *used) {
    struct text line = {.count = 0};
    int number_of_signal = ended & 0x7f, code = (ended >> 8) & 0xff;
    add(&line, "ended");
    add_number(&line, code);
    add_number(&line, number_of_signal);
    add_number(&line, asked);
    add_number(&line, (used->user_s + used->system_s) * 1000000 + used->user_us + used->system_us);
    add_number(&line, used->peak_kib);
    add(&line, "\n");
    tell(&line);
    show("/sys/fs/cgroup/memory.events");
    show("/sys/fs/cgroup/memory/memory.oom_control");
    show("/sys/fs/cgroup/cpu.stat");
    show("/sys/fs/cgroup/cpuacct/cpuacct.usage");
    add(&line, "end\n");
    tell(&line);
    ring();
    quit(number_of_signal ? 128 + number_of_signal : code);
}

static void look_after(number child) {
    word all = ~0UL, asked = 0;
    struct used used;
    int ended, details[32];
    for (;;) {
        number got = CALL(SIGTIMEDWAIT, &all, details, 0, ALL_SIGNALS);
        if (got <= 0) continue;
        if (got != CHILD) {
            if (details[SENDER] == 0) asked |= 1UL << (got & 63);
            CALL(KILL, -child, got, 0, 0);
            continue;
        }
        for (number pid; (pid = CALL(WAIT4, -1, &ended, 1, &used)) > 0;)
            if (pid == child) finish(ended, asked, &used);
    }
}

__attribute__((used)) void begin(word *stack) {
    char **arguments = (char **)(stack + 2), **variables;
    struct text line = {.count = 0};
    word all = ~0UL;
    int report[2], failure[2] = {0, 0};
    status = (int)open(FOLDER "status", WRONLY | APPEND | CLOEXEC);
    bell = (int)open(FOLDER "bell", RDWR | CLOEXEC);
    if (status < 0 || bell < 0 || stack[0] < 2) quit(125);
    /* Held open for reading as well: while nobody reads, the program waits, and is not killed for it. */
    if (open(FOLDER "stdout", RDWR | CLOEXEC) < 0 || open(FOLDER "stderr", RDWR | CLOEXEC) < 0) quit(125);
    variables = environment();
    if (!variables || CALL(PIPE2, report, CLOEXEC, 0, 0) < 0) quit(125);
    CALL(SIGPROCMASK, 0, &all, 0, ALL_SIGNALS);
    number child = CALL(CLONE, CHILD, 0, 0, 0);
    if (child < 0) quit(125);
    if (child == 0) become(arguments, variables, report[1]);
    CALL(CLOSE, report[1], 0, 0, 0);
    if (CALL(READ, report[0], failure, sizeof failure, 0) > 0) {
        add(&line, "failed");
        add_number(&line, failure[0]);
        add_number(&line, failure[1]);
        add(&line, "\n");
        tell(&line);
        ring();
        quit(127);
    }
    add(&line, "started\n");
    tell(&line);
    ring();
    look_after(child);
}
