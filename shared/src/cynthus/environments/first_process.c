/*
 * The first process inside a sandbox: first-process CHANNEL PROGRAM ARGUMENT...
 *
 * bubblewrap says 128+N for a death by signal, as a program may say itself; this says which it was. CHANNEL is
 * a SOCK_SEQPACKET socket: "pid" comes from the program itself just before it is executed (so that credentials
 * tell its id outside), then "started" or "errno N", and in the end
 * "ended WAIT-STATUS CPU-SECONDS PEAK-MEMORY-BYTES PROCESSES-LEFT-BEHIND".
 *
 * It ends everything that it can reach: it does nothing at all unless it is the first process of a PID
 * namespace, for outside of one that is the whole machine.
 *
 * A Python interpreter in its place would need a third of a program's start. Built by build.sh; a test builds
 * it again and compares.
 */

typedef unsigned long word;
typedef long number;

#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, CLOSE = 3, SIGPROCMASK = 14, NANOSLEEP = 35, GETPID = 39, CLONE = 56, EXECVE = 59, WAIT4 = 61,
       KILL = 62, FCNTL = 72, SETSID = 112, EXIT = 231, PIPE2 = 293 };
static number call(number n, word a, word b, word c, word d, word e) {
    register word r10 __asm__("r10") = d, r8 __asm__("r8") = e;
    number result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call begin\n");
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, CLOSE = 57, SIGPROCMASK = 135, NANOSLEEP = 101, GETPID = 172, CLONE = 220, EXECVE = 221,
       WAIT4 = 260, KILL = 129, FCNTL = 25, SETSID = 157, EXIT = 94, PIPE2 = 59 };
static number call(number n, word a, word b, word c, word d, word e) {
    register word x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                  x3 __asm__("x3") = d, x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
__asm__(".globl _start\n_start: mov x29,#0\n mov x0,sp\n and sp,x0,#-16\n bl begin\n");
#else
#error "add the system calls of this processor"
#endif

#define CALL(n, a, b, c, d) call(n, (word)(a), (word)(b), (word)(c), (word)(d), 0)

enum { CHILD = 17, KILLED = 9, CLOEXEC = 02000000, SET_DESCRIPTOR_FLAGS = 2, CLOSE_ON_EXEC = 1,
       SET_MASK = 2, BLOCK = 0, SIGNALS_BYTES = 8, NO_WAIT = 1, ROUNDS = 5000, ROUND_NS = 2000000 };

void *memset(void *to, int value, word count) {
    for (word i = 0; i < count; i++) ((volatile char *)to)[i] = (char)value;
    return to;
}
static void quit(int code) { for (;;) CALL(EXIT, code, 0, 0, 0); }

struct text { char bytes[160]; word count; };
static void add(struct text *text, const char *more) {
    while (*more && text->count < sizeof text->bytes) text->bytes[text->count++] = *more++;
}
static void add_number(struct text *text, word value, int digits) {
    char written[24];
    int at = sizeof written - 1;
    written[at] = 0;
    do written[--at] = '0' + value % 10, digits--; while ((value /= 10) || digits > 0);
    add(text, written + at);
}
static void tell(int channel, struct text *text) { CALL(WRITE, channel, text->bytes, text->count, 0); }

static int parsed(const char *digits) {
    int value = 0;
    while (*digits >= '0' && *digits <= '9' && value < 1 << 20) value = value * 10 + *digits++ - '0';
    return value;
}

/* As it was given: bubblewrap adds PWD. */
static void without_pwd(char **variables) {
    char **kept = variables;
    for (char *item; (item = *variables); variables++)
        if (!(item[0] == 'P' && item[1] == 'W' && item[2] == 'D' && item[3] == '=')) *kept++ = item;
    *kept = 0;
}

static void become(int channel, int report, char *program, char **arguments, char **variables) {
    word none = 0;
    CALL(SETSID, 0, 0, 0, 0);
    CALL(SIGPROCMASK, SET_MASK, &none, 0, SIGNALS_BYTES);
    CALL(WRITE, channel, "pid", 3, 0);
    int failure = (int)-CALL(EXECVE, program, arguments, variables, 0);
    CALL(WRITE, report, &failure, sizeof failure, 0);
    quit(127);
}

/* Kill whatever is left; how many that were. What had ended by itself does not count. */
static word sweep(void) {
    word left = 0;
    number round_ns[2] = {0, ROUND_NS}, pid;
    int ended;
    while (CALL(WAIT4, -1, &ended, NO_WAIT, 0) > 0) continue;
    for (int round = 0; round < ROUNDS; round++) {
        CALL(KILL, -1, KILLED, 0, 0);
        while ((pid = CALL(WAIT4, -1, &ended, NO_WAIT, 0)) > 0) left += (ended & 0x7f) == KILLED;
        if (pid < 0) break;
        CALL(NANOSLEEP, round_ns, 0, 0, 0);
    }
    return left;
}

struct used { number user_s, user_us, system_s, system_us, peak_kib, rest[13]; };

static void finish(int channel, int ended, struct used *used) {
    struct text line = {.count = 0};
    word us = (used->user_s + used->system_s) * 1000000 + used->user_us + used->system_us;
    word left = sweep();
    add(&line, "ended ");
    add_number(&line, ended, 1);
    add(&line, " ");
    add_number(&line, us / 1000000, 1);
    add(&line, ".");
    add_number(&line, us % 1000000, 6);
    add(&line, " ");
    add_number(&line, used->peak_kib * 1024, 1);
    add(&line, " ");
    add_number(&line, left, 1);
    tell(channel, &line);
    quit(0);
}

__attribute__((used)) void begin(word *stack) {
    char **arguments = (char **)(stack + 1), **variables = arguments + stack[0] + 1;
    struct text line = {.count = 0};
    word all = ~0UL;
    struct used used;
    int report[2], failure = 0, ended;
    if (CALL(GETPID, 0, 0, 0, 0) != 1 || stack[0] < 4) quit(125);
    int channel = parsed(arguments[1]);
    CALL(FCNTL, channel, SET_DESCRIPTOR_FLAGS, CLOSE_ON_EXEC, 0);
    without_pwd(variables);
    if (CALL(PIPE2, report, CLOEXEC, 0, 0) < 0) quit(125);
    CALL(SIGPROCMASK, BLOCK, &all, 0, SIGNALS_BYTES);
    number child = CALL(CLONE, CHILD, 0, 0, 0);
    if (child < 0) quit(125);
    if (child == 0) become(channel, report[1], arguments[2], arguments + 3, variables);
    CALL(CLOSE, report[1], 0, 0, 0);
    if (CALL(READ, report[0], &failure, sizeof failure, 0) > 0) {
        add(&line, "errno ");
        add_number(&line, failure, 1);
        tell(channel, &line);
        quit(0);
    }
    add(&line, "started");
    tell(channel, &line);
    while (CALL(WAIT4, -1, &ended, 0, &used) != child) continue;
    finish(channel, ended, &used);
}
