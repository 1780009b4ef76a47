/* Multiply-adds per second that each core issues at most: registers only, no memory.

   usage: peak fp32|bf16|amx THREADS SECONDS   prints FLOP/s of all threads together, one per core

   fp32 is VFMADD on 512 bits, bf16 VDPBF16PS on 512 bits, amx TDPBF16PS on tiles. Independent
   accumulators hide the latency; a multiply-add counts as two. Seconds are each thread's own
   processor time, so that other programs do not lower the rate. Exit code 2 where the processor
   lacks the instruction. */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ACCUMULATORS 12
#define ROUNDS 200000

typedef struct {
    int core;
    double (*rounds)(void);
    double seconds, flop;
} Job;

static pthread_barrier_t together;
static volatile float sink;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

__attribute__((target("avx512f"))) static double fp32(void) {
    __m512 sums[ACCUMULATORS], a = _mm512_set1_ps(1.0000001f), b = _mm512_set1_ps(1e-9f);
    for (int i = 0; i < ACCUMULATORS; i++) sums[i] = _mm512_set1_ps(1.0f + i);
    for (int round = 0; round < ROUNDS; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < ACCUMULATORS; i++) {
            sums[i] = _mm512_fmadd_ps(sums[i], a, b);
        }
    }
    for (int i = 0; i < ACCUMULATORS; i++) sink = _mm512_reduce_add_ps(sums[i]);
    return 2.0 * 16 * ACCUMULATORS * ROUNDS;
}

__attribute__((target("avx512f,avx512bf16"))) static double bf16(void) {
    __m512 sums[ACCUMULATORS], zeros = _mm512_setzero_ps();
    __m512bh a = _mm512_cvtne2ps_pbh(zeros, zeros), b = a;
    for (int i = 0; i < ACCUMULATORS; i++) sums[i] = _mm512_set1_ps(1.0f + i);
    for (int round = 0; round < ROUNDS; round++) {
        /* Opaque operands: nothing can be taken out of the loop. */
        __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 12
        for (int i = 0; i < ACCUMULATORS; i++) {
            sums[i] = _mm512_dpbf16_ps(sums[i], a, b);
        }
    }
    for (int i = 0; i < ACCUMULATORS; i++) sink = _mm512_reduce_add_ps(sums[i]);
    return 2.0 * 32 * ACCUMULATORS * ROUNDS;
}

/* A tile's shape: 16 rows of 64 bytes, for all 8 tiles. */
static const struct {
    unsigned char palette, start, reserved[14];
    unsigned short bytes[16];
    unsigned char rows[16];
} tiles = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

__attribute__((target("amx-tile,amx-bf16"))) static double amx(void) {
    _tile_loadconfig(&tiles);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int round = 0; round < ROUNDS / 20; round++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
    return 2.0 * 16 * 16 * 32 * 4 * (ROUNDS / 20);
}

/* The kernel lets a process use tiles that asks for them. */
static int may_use_tiles(void) {
    const long request = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

static void *work(void *argument) {
    Job *job = argument;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(job->core, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    pthread_barrier_wait(&together);
    double began = now(), flop = 0;
    do flop += job->rounds();
    while (now() - began < job->seconds);
    job->flop = flop / (now() - began);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 4) return 1;
    int threads = atoi(arguments[2]);
    double (*rounds)(void) = NULL;
    __builtin_cpu_init();
    if (!strcmp(arguments[1], "fp32") && __builtin_cpu_supports("avx512f")) rounds = fp32;
    if (!strcmp(arguments[1], "bf16") && __builtin_cpu_supports("avx512bf16")) rounds = bf16;
    if (!strcmp(arguments[1], "amx") && __builtin_cpu_supports("amx-bf16") && may_use_tiles())
        rounds = amx;
    if (!rounds) return 2;
    cpu_set_t usable;
    sched_getaffinity(0, sizeof usable, &usable);
    Job jobs[256];
    pthread_t ids[256];
    pthread_barrier_init(&together, NULL, threads);
    for (int i = 0, core = -1; i < threads; i++) {
        do core++;
        while (core < CPU_SETSIZE && !CPU_ISSET(core, &usable));
        jobs[i] = (Job){core, rounds, atof(arguments[3]), 0};
        pthread_create(&ids[i], NULL, work, &jobs[i]);
    }
    double flop = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        flop += jobs[i].flop;
    }
    printf("%.6e\n", flop);
    return 0;
}
