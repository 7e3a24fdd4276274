/* How many connections one address may have open at once: a network filter of Envoy, which has none of its own.
 *
 * By the Proxy-Wasm ABI 0.2.1 (github.com/proxy-wasm/spec): Envoy calls the exported functions, which call the imported
 * ones. Every worker of Envoy runs its own copy; the counts lie in the data that the copies share. `make generate`
 * compiles it to connections.wasm.
 *
 * An address is counted in one of BUCKETS places, found by a hash with a seed of this Envoy's: what is kept is bounded,
 * however many addresses come, and nobody can tell who shares a place with whom. An address is an IPv4 address or an
 * IPv6 network, /64: as many as that has everybody who has one.
 */

#include <stddef.h>
#include <stdint.h>

#define IMPORT(name) __attribute__((import_module("env"), import_name(#name))) extern uint32_t name
#define EXPORT __attribute__((visibility("default")))

enum result { OK = 0, CAS_MISMATCH = 8 };
enum action { CONTINUE = 0, PAUSE = 1 };
enum { DOWNSTREAM = 2, PLUGIN_CONFIGURATION = 7, COUNTER = 0, BUCKETS = 1 << 14 };

IMPORT(proxy_get_property)(const char *path, size_t path_size, char **value, size_t *size);
IMPORT(proxy_get_buffer_bytes)(uint32_t buffer, size_t start, size_t length, char **value, size_t *size);
IMPORT(proxy_get_shared_data)(const void *key, size_t key_size, char **value, size_t *size, uint32_t *version);
IMPORT(proxy_set_shared_data)(const void *key, size_t key_size, const void *value, size_t size, uint32_t version);
IMPORT(proxy_get_current_time_nanoseconds)(uint64_t *time);
IMPORT(proxy_define_metric)(uint32_t type, const char *name, size_t size, uint32_t *metric);
IMPORT(proxy_increment_metric)(uint32_t metric, int64_t by);
IMPORT(proxy_close_stream)(uint32_t stream);

static const uint16_t SEED = BUCKETS; /* the key behind those of the buckets */
static uint64_t seed;
static uint32_t limit, refused;

/* Where Envoy puts what it answers. Nothing of it is needed any longer when the next function is called. */
static char answers[4096];
static size_t used;

EXPORT void *proxy_on_memory_allocate(size_t size) {
    if (size > sizeof answers - used) return NULL;
    void *place = answers + used;
    used += (size + 7) & ~(size_t)7;
    return place;
}

EXPORT void proxy_abi_version_0_2_1(void) {}
EXPORT void proxy_on_context_create(uint32_t context, uint32_t parent) { (void)context, (void)parent; }

/* Shared data has a count for every bucket before a worker begins: Envoy's main thread starts a copy first. A key that
 * is not there would be made by two workers at once, one of which would not be counted. */
EXPORT uint32_t proxy_on_vm_start(uint32_t context, size_t size) {
    (void)context, (void)size;
    char *value;
    size_t length;
    uint32_t version;
    used = 0;
    if (proxy_get_shared_data(&SEED, sizeof SEED, &value, &length, &version) == OK && length == sizeof seed) {
        __builtin_memcpy(&seed, value, sizeof seed);
        return 1;
    }
    static const int32_t none = 0;
    for (uint16_t bucket = 0; bucket < BUCKETS; bucket++)
        if (proxy_set_shared_data(&bucket, sizeof bucket, &none, sizeof none, 0) != OK) return 0;
    return proxy_get_current_time_nanoseconds(&seed) == OK &&
           proxy_set_shared_data(&SEED, sizeof SEED, &seed, sizeof seed, 0) == OK;
}

/* The configuration is the limit, in digits; 0: none. */
EXPORT uint32_t proxy_on_configure(uint32_t context, size_t size) {
    (void)context;
    char *text;
    size_t length;
    used = 0, limit = 0;
    if (proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, &text, &length) != OK) return 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return 0;
        limit = limit * 10 + (uint32_t)(text[i] - '0');
    }
    static const char name[] = "parley.connections_over_address_limit";
    return proxy_define_metric(COUNTER, name, sizeof name - 1, &refused) == OK;
}

static uint32_t digit(char c) { return (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10); }

/* The first 64 bits of an IPv6 address as inet_ntop writes it, "2001:db8::1". */
static uint64_t network(const char *text, const char *end) {
    uint16_t groups[8] = {0}, tail[8];
    size_t filled = 0, behind = 0;
    int compressed = 0;
    for (const char *at = text; at < end && filled + behind < 8; at++) {
        if (*at == ':') { /* the second of "::": what follows stands at the end */
            compressed = 1;
            continue;
        }
        uint16_t group = 0;
        for (; at < end && *at != ':'; at++) group = (uint16_t)(group << 4 | digit(*at));
        if (compressed) tail[behind++] = group;
        else groups[filled++] = group;
    }
    for (size_t i = 0; i < behind; i++) groups[8 - behind + i] = tail[i];
    return (uint64_t)groups[0] << 48 | (uint64_t)groups[1] << 32 | (uint64_t)groups[2] << 16 | groups[3];
}

/* What an address is counted by. `text` is as Envoy says it, "192.0.2.7:4711" or "[2001:db8::1]:4711". */
static uint64_t counted(const char *text, size_t length) {
    const char *end = text + length, *begin = text, *dot = NULL;
    while (end > text && end[-1] != ':') end--; /* the port goes */
    if (end > text) end--;
    if (*begin == '[') begin++, end--;
    for (const char *at = begin; at < end; at++) {
        if (*at == '.') dot = at;
    }
    if (!dot) return network(begin, end);
    uint64_t address = 0, part = 0; /* IPv4; behind "::ffff:" where it came to an IPv6 socket */
    for (const char *at = begin; at < end; at++) {
        if (*at == ':') address = part = 0;
        else if (*at == '.') address = address << 8 | part, part = 0;
        else part = part * 10 + digit(*at);
    }
    return address << 8 | (part & 0xff);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t mixed(uint64_t value) {
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

/* Adds to the connections of the address that is on the line now; how many there are then. */
static int32_t add(int32_t change) {
    static const char path[] = "source\0address";
    char *text;
    size_t length;
    used = 0;
    if (proxy_get_property(path, sizeof path - 1, &text, &length) != OK || length == 0) return 0;
    uint16_t bucket = (uint16_t)(mixed(seed ^ counted(text, length)) % BUCKETS);
    for (;;) {
        char *value;
        size_t size;
        uint32_t version;
        int32_t count;
        used = 0;
        if (proxy_get_shared_data(&bucket, sizeof bucket, &value, &size, &version) != OK || size != sizeof count) return 0;
        __builtin_memcpy(&count, value, sizeof count);
        count += change;
        if (count < 0) count = 0; /* nobody is locked out by a count that went wrong */
        if (proxy_set_shared_data(&bucket, sizeof bucket, &count, sizeof count, version) != CAS_MISMATCH) return count;
    }
}

/* One too many is closed at once, before its TLS handshake; it counts until it is. */
EXPORT uint32_t proxy_on_new_connection(uint32_t context) {
    (void)context;
    if (limit == 0 || add(1) <= (int32_t)limit) return CONTINUE;
    proxy_increment_metric(refused, 1);
    proxy_close_stream(DOWNSTREAM);
    return PAUSE;
}

EXPORT void proxy_on_downstream_connection_close(uint32_t context, uint32_t by) {
    (void)context, (void)by;
    if (limit != 0) add(-1);
}
