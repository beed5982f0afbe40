/* A libcupti that records what a test tells it to: the functions that `ways/cupti.py` calls, and those
   that a test calls to issue work. Records are as long as the test says, their fields where CUPTI's are. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void (*requested_t)(uint8_t **, size_t *, size_t *);
typedef void (*completed_t)(void *, uint32_t, uint8_t *, size_t, size_t);

static requested_t requested;
static completed_t completed;
static int enabled[64], runtime[1024], chosen[1024], no_context, taken, sizes[64] = {[1] = 96, [2] = 88, [4] = 40, [5] = 40, [10] = 216, [51] = 56};
static uint8_t *buffer;
static size_t size, used;
static int incomplete, no_calls, dropped;
static int64_t clock_offset;
static double clock_rate = 1;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)((t.tv_sec * 1000000000LL + t.tv_nsec) * clock_rate) + clock_offset;
}

int cuptiGetVersion(uint32_t *version) { *version = 130001; return 0; }
int cuptiGetTimestamp(uint64_t *moment) { *moment = now(); return 0; }
int cuptiGetResultString(int status, const char **text) {
    *text = status == 39 ? "CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED" : "an error";
    return 0;
}
int cuptiActivityRegisterCallbacks(requested_t r, completed_t c) { requested = r; completed = c; return 0; }
/* As CUPTI: turning a kind of calls on turns all of them on. */
int cuptiActivityEnable(uint32_t kind) {
    if (taken) return 39;
    enabled[kind] = 1;
    if (kind == 5) for (int id = 0; id < 1024; id++) runtime[id] = 1;
    return 0;
}
int cuptiGetCallbackName(int domain, uint32_t id, const char **name) {
    static const char *runtime_names[] = {[41] = "cudaMemcpyAsync_v3020", [211] = "cudaLaunchKernel_v7000", [311] = "cudaGraphLaunch_v10000"};
    if (no_calls || id > (domain == 2 ? 522 : 806)) return 1;
    *name = domain == 2 && id <= 311 && runtime_names[id] ? runtime_names[id] : "another";
    return 0;
}
int cuptiActivityDisable(uint32_t kind) { enabled[kind] = 0; return 0; }
int cuptiActivityEnableRuntimeApi(uint32_t id, uint8_t enable) {
    if (no_calls) return 1;
    runtime[id] = enable;
    chosen[id] = enable && no_context;
    return 0;
}
int cuptiActivityEnableDriverApi(uint32_t id, uint8_t enable) { return no_calls ? 1 : 0; }

static void give(void) {
    uint8_t *full = buffer;
    buffer = NULL;
    if (full) completed(NULL, 0, full, size, used);
}
int cuptiActivityFlushAll(uint32_t flag) { if (flag || !incomplete) give(); return 0; }
int cuptiActivityGetNextRecord(uint8_t *start, size_t valid, uint8_t **record) {
    uint32_t kind;
    uint8_t *next = start;
    if (*record) { memcpy(&kind, *record, 4); next = *record + sizes[kind]; }
    if (next >= start + valid) return 12;
    memcpy(&kind, next, 4);
    if (!sizes[kind]) return 21;
    *record = next;
    return 0;
}

/* for tests */
static uint8_t *record(uint32_t kind) {
    if (!enabled[kind] && kind != 5 && kind != 4) return NULL;
    if (buffer && used + sizes[kind] > size) give();
    if (!buffer) {
        size_t most = 0;
        requested(&buffer, &size, &most);
        used = 0;
        if (!buffer) { dropped++; return NULL; }
        memset(buffer, 0, size);
    }
    uint8_t *place = buffer + used;
    used += sizes[kind];
    memcpy(place, &kind, 4);
    return place;
}
static void put64(uint8_t *place, int at, uint64_t value) { memcpy(place + at, &value, 8); }
static void put32(uint8_t *place, int at, uint32_t value) { memcpy(place + at, &value, 4); }

void stub_call(uint32_t id, uint32_t correlation, uint64_t start, uint64_t end) {
    /* Where the context exists, a call that was turned on is not recorded without its kind. */
    if (!chosen[id] && (!enabled[5] || !runtime[id])) return;
    uint8_t *place = record(5);
    if (!place) return;
    put32(place, 4, id); put64(place, 8, start); put64(place, 16, end); put32(place, 32, correlation);
}
void stub_kernel(const char *name, uint32_t device, uint32_t stream, uint32_t correlation, uint64_t start, uint64_t end) {
    uint8_t *place = record(10);
    if (!place) return;
    put64(place, 16, start); put64(place, 24, end); put32(place, 40, device); put32(place, 48, stream);
    put32(place, 92, correlation); put64(place, 104, (uint64_t)name);
}
void stub_copy(uint32_t kind, uint32_t device, uint32_t stream, uint32_t correlation, uint64_t start, uint64_t end) {
    uint8_t *place = record(kind);
    if (!place) return;
    put64(place, 16, start); put64(place, 24, end); put32(place, 32, device); put32(place, 40, stream);
    put32(place, 44, correlation);
}
void stub_graph(uint32_t device, uint32_t stream, uint32_t correlation, uint64_t start, uint64_t end) {
    uint8_t *place = record(51);
    if (!place) return;
    put32(place, 4, correlation); put64(place, 8, start); put64(place, 16, end); put32(place, 24, device);
    put32(place, 36, stream);
}
void stub_hold(int hold) { incomplete = hold; }
void stub_take(int by_another) { taken = by_another; }
void stub_size(int kind, int bytes) { sizes[kind] = bytes; }
void stub_without_calls(void) { no_calls = 1; }
void stub_clock(int64_t offset, double rate) { clock_offset = offset; clock_rate = rate; }
int stub_enabled(int kind) { return enabled[kind]; }
int stub_dropped(void) { return dropped; }
uint64_t stub_now(void) { return now(); }
void stub_no_context(int none) { no_context = none; }
int stub_costs_every_call(void) { return enabled[5] || enabled[4]; }
void stub_loses_chosen(void) { memset(chosen, 0, sizeof chosen); }
