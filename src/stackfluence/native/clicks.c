/* What the edge does with every click, in C: each function here has a twin in Python that says what it does, marked
 * `@compiled` where it stands, and gives the same bytes. `build` compiles this file; nothing fails without it.
 *
 * Bytes are only read as spans (address and length) and only written by `joined`, which measures before it copies.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <time.h>

#include "sha256.h"

typedef struct {
    const char *at;
    Py_ssize_t size;
} Span;

#define TEXT(literal) ((Span){literal, sizeof(literal) - 1})
#define ARRAY(array) ((Span){(const char *)(array), sizeof(array)})
#define MANY(array) ((int)(sizeof(array) / sizeof *(array)))
#define SALT_BYTES 16
#define TAIL_BYTES 10 /* of a UUIDv7, after its time */
#define DAY_MS 86400000
#define MIDNIGHT_MS 1800000 /* as in visitor.py */

enum {
    NOW, BEFORE, HEAVY_BEFORE, ALARM, LIMIT, BIT, PEAKS, HELD, WINDOWS, MOST, STARTS_MS, ENDS_MS, CLICKS, LITTER,
    FORWARDED, HOST, EVIDENCE, IS_OPTED_OUT, LEAF, EXPIRING, USER_AGENT, VERDICTS, VERSIONS,
    IS_STALE, IS_ALWAYS_OPEN, ORGANIZATION, LINK_ID, CACHE, NAMES
};
static PyObject *crc32_of, *names[NAMES]; /* of attributes */
static unsigned char is_target[256], is_address[256];

/* Read arguments: `b` is bytes, `s` a str, taken as UTF-8. Returns -1 with TypeError or UnicodeEncodeError set. */
static int read_spans(PyObject *const *given, Py_ssize_t many, const char *kinds, Span *spans)
{
    if (many != (Py_ssize_t)strlen(kinds)) {
        PyErr_Format(PyExc_TypeError, "%zd arguments where %zu are needed", many, strlen(kinds));
        return -1;
    }
    for (Py_ssize_t i = 0; i < many; i++) {
        if (kinds[i] == 'b') {
            char *at;
            if (PyBytes_AsStringAndSize(given[i], &at, &spans[i].size) < 0) return -1;
            spans[i].at = at;
        } else {
            spans[i].at = PyUnicode_AsUTF8AndSize(given[i], &spans[i].size);
            if (!spans[i].at) return -1;
        }
    }
    return 0;
}

static PyObject *joined(const Span *spans, int many)
{
    Py_ssize_t size = 0;
    for (int i = 0; i < many; i++) {
        if (spans[i].size > PY_SSIZE_T_MAX - size) return PyErr_NoMemory();
        size += spans[i].size;
    }
    PyObject *whole = PyBytes_FromStringAndSize(NULL, size);
    if (!whole) return NULL;
    char *to = PyBytes_AS_STRING(whole);
    for (int i = 0; i < many; to += spans[i++].size) memcpy(to, spans[i].at, (size_t)spans[i].size);
    return whole;
}

static void hash_spans(const Span *spans, int many, uint8_t digest[32])
{
    Hash hash;
    begin(&hash);
    for (int i = 0; i < many; i++) absorb(&hash, spans[i].at, (size_t)spans[i].size);
    finish(&hash, digest);
}

static void put_hex(const uint8_t *bytes, size_t many, char *to)
{
    for (size_t i = 0; i < many; i++) {
        *to++ = "0123456789abcdef"[bytes[i] >> 4];
        *to++ = "0123456789abcdef"[bytes[i] & 15];
    }
}

/* sha256(message, is_portable): for the tests, which try both ways. */
static PyObject *sha256(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span message;
    uint8_t digest[32];
    if (many != 2) return PyErr_Format(PyExc_TypeError, "a message, and whether to hash it portably");
    if (read_spans(given, 1, "b", &message) < 0) return NULL;
    Compress *usual = compress;
    if (given[1] == Py_True) compress = compress_portably;
    hash_spans(&message, 1, digest);
    compress = usual;
    return PyBytes_FromStringAndSize((char *)digest, sizeof digest);
}

/* Spans: salt, organization, address, user agent. */
static void put_visitor(const Span *a, char text[32])
{
    uint8_t digest[32];
    const Span said[] = {a[0], a[1], {"", 1}, a[2], {"", 1}, a[3]};
    hash_spans(said, MANY(said), digest);
    put_hex(digest, 16, text);
}

static PyObject *visitor_hash(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[4];
    char text[32];
    if (read_spans(given, many, "bbsb", a) < 0) return NULL;
    put_visitor(a, text);
    return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, text, sizeof text);
}

/* The state of SHA-256 after the inner pad and after the outer pad of HMAC (RFC 2104) under a key of 32 bytes. */
static PyObject *prepare_key(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span key;
    if (read_spans(given, many, "b", &key) < 0) return NULL;
    if (key.size > 64) return PyErr_Format(PyExc_ValueError, "a key of more than 64 bytes");
    uint32_t states[2][8];
    for (int outer = 0; outer < 2; outer++) {
        uint8_t pad[64];
        Hash hash;
        for (Py_ssize_t i = 0; i < 64; i++) {
            pad[i] = (uint8_t)((i < key.size ? (uint8_t)key.at[i] : 0) ^ (outer ? 0x5c : 0x36));
        }
        begin(&hash);
        absorb(&hash, pad, sizeof pad);
        memcpy(states[outer], hash.state, sizeof hash.state);
    }
    return PyBytes_FromStringAndSize((char *)states, sizeof states);
}

static void resume(Hash *hash, const char *state)
{
    memcpy(hash->state, state, sizeof hash->state);
    hash->filled = 0;
    hash->size = 64;
}

/* The whole HMAC of a message under a prepared key. */
static int put_signature(Span key, const Span *message, int many, uint8_t digest[32])
{
    Hash hash;
    if (key.size != 64) {
        PyErr_SetString(PyExc_ValueError, "no prepared key");
        return -1;
    }
    resume(&hash, key.at);
    for (int i = 0; i < many; i++) absorb(&hash, message[i].at, (size_t)message[i].size);
    finish(&hash, digest);
    resume(&hash, key.at + 32);
    absorb(&hash, digest, 32);
    finish(&hash, digest);
    return 0;
}

static PyObject *sign(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[2];
    uint8_t digest[32];
    if (read_spans(given, many, "bb", a) < 0 || put_signature(a[0], a + 1, 1, digest) < 0) return NULL;
    return PyBytes_FromStringAndSize((char *)digest, 16);
}

/* Arguments: prepared key, head, middle, event, flags. */
static int put_click_id(PyObject *const *given, char id[63])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    Span a[4];
    uint8_t raw[48] = {0}, digest[32];
    if (read_spans(given, 4, "bbbb", a) < 0) return -1;
    long flags = PyLong_AsLong(given[4]);
    if (flags == -1 && PyErr_Occurred()) return -1;
    if (a[1].size != 2 || a[2].size != 12 || a[3].size != 16 || flags < 0 || flags > 255) {
        PyErr_SetString(PyExc_ValueError, "no parts of a click ID");
        return -1;
    }
    memcpy(raw, a[1].at, 2);
    raw[2] = (uint8_t)flags;
    memcpy(raw + 3, a[2].at, 12);
    memcpy(raw + 15, a[3].at, 16);
    if (put_signature(a[0], &(Span){(char *)raw, 31}, 1, digest) < 0) return -1;
    memcpy(raw + 31, digest, 16);
    for (int i = 0; i < 63; i++) {
        const uint8_t *three = raw + i / 4 * 3;
        uint32_t word = (uint32_t)three[0] << 16 | (uint32_t)three[1] << 8 | three[2];
        id[i] = alphabet[word >> (18 - 6 * (i % 4)) & 63];
    }
    return 0;
}

static PyObject *mint(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    char id[63];
    if (many != 5) return PyErr_Format(PyExc_TypeError, "five arguments are needed");
    return put_click_id(given, id) < 0 ? NULL : PyBytes_FromStringAndSize(id, sizeof id);
}

/* Eight digits of `bytes`, a hyphen, and so on: RFC 9562. */
static void put_uuid(const uint8_t *bytes, char text[36])
{
    static const int sizes[] = {4, 2, 2, 2, 6};
    for (int i = 0; i < 5; i++) {
        put_hex(bytes, (size_t)sizes[i], text);
        bytes += sizes[i], text += 2 * sizes[i];
        if (i < 4) *text++ = '-';
    }
}

/* What `click_event` takes between its first argument and its last. */
enum { AT, DRAWN, LINK, JUDGED, OF_HEAD, PERSONAL, TODAY, DAY_BEFORE, PREFIX, PARTS };

static PyObject *make_event(long long at_ms, const Span *a, int is_opted_out)
{
    int has_before = a[DAY_BEFORE].size > 0;
    if (at_ms < 0 || at_ms >> 48 || a[DRAWN].size != SALT_BYTES + TAIL_BYTES) {
        return PyErr_Format(PyExc_ValueError, "no time of a UUIDv7, or another number of random bytes");
    }
    const uint8_t *drawn = (const uint8_t *)a[DRAWN].at;
    uint8_t event[16], digest[32], promise[64] = {0};
    char salt[2 * SALT_BYTES], id[36], commitment[64];
    put_hex(drawn, SALT_BYTES, salt);
    for (int i = 0; i < 6; i++) event[i] = (uint8_t)(at_ms >> (40 - 8 * i));
    memcpy(event + 6, drawn + SALT_BYTES, TAIL_BYTES);
    event[6] = 0x70 | (event[6] & 0x0f);
    event[8] = 0x80 | (event[8] & 0x3f);
    put_uuid(event, id);
    const Span nothing = {"", 0};
    const Span personal[] = {
        TEXT("\t{\"salt\":\""), ARRAY(salt), TEXT("\","), a[PERSONAL],
        is_opted_out ? nothing : TEXT(",\"ip_prefix\":\""), is_opted_out ? nothing : a[PREFIX],
        is_opted_out ? TEXT("}") : TEXT("\"}"),
    };
    PyObject *half = joined(personal, MANY(personal));
    if (!half) return NULL;
    hash_spans(&(Span){PyBytes_AS_STRING(half) + 1, PyBytes_GET_SIZE(half) - 1}, 1, promise + 32);
    hash_spans(&ARRAY(promise), 1, digest);
    put_hex(digest, sizeof digest, commitment);
    const Span body[] = {
        TEXT("\"event_id\":\""), ARRAY(id), TEXT("\",\"event_type\":\"click\",\"occurred_at\":\""), a[AT],
        TEXT("\",\"received_at\":\""), a[AT], TEXT("\",\"click_id\":\""), ARRAY(id), TEXT("\","), a[LINK], TEXT(","),
        a[JUDGED], a[OF_HEAD], is_opted_out ? nothing : TEXT("\"visitor_hash\":\""), is_opted_out ? nothing : a[TODAY],
        is_opted_out || !has_before ? nothing : TEXT("\",\"visitor_hash_before\":\""),
        is_opted_out || !has_before ? nothing : a[DAY_BEFORE], is_opted_out ? nothing : TEXT("\","),
        TEXT("\"trust_tier\":\"server\",\"consent\":\""), is_opted_out ? TEXT("opted_out") : TEXT("unknown"),
        TEXT("\",\"personal_commitment\":\""), ARRAY(commitment), TEXT("\"}"),
    };
    PyObject *leaf = joined(body, MANY(body));
    if (!leaf) {
        Py_DECREF(half);
        return NULL;
    }
    PyObject *id_bytes = PyBytes_FromStringAndSize((char *)event, sizeof event);
    PyObject *all = id_bytes ? PyTuple_Pack(3, id_bytes, leaf, half) : NULL;
    Py_XDECREF(id_bytes);
    Py_DECREF(leaf);
    Py_DECREF(half);
    return all;
}

static PyObject *click_event(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[PARTS];
    if (many != PARTS + 2) return PyErr_Format(PyExc_TypeError, "eleven arguments are needed");
    long long at_ms = PyLong_AsLongLong(given[0]);
    if ((at_ms == -1 && PyErr_Occurred()) || read_spans(given + 1, PARTS, "sbsssssss", a) < 0) return NULL;
    return make_event(at_ms, a, given[PARTS + 1] == Py_True);
}

/* Nine bytes are left for the checksum of the rest, which zlib reads fastest. */
static PyObject *join_line(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[2], b[2];
    char number[24];
    if (many != 5) return PyErr_Format(PyExc_TypeError, "five arguments are needed");
    if (read_spans(given, 2, "bb", a) < 0 || read_spans(given + 3, 2, "bb", b) < 0) return NULL;
    long long seq = PyLong_AsLongLong(given[2]);
    if (seq == -1 && PyErr_Occurred()) return NULL;
    const Span spans[] = {
        TEXT("00000000\t{\"schema_version\":1,\"organization_id\":\""), a[0], TEXT("\",\"node\":\""), a[1],
        TEXT("\",\"seq\":"), {number, snprintf(number, sizeof number, "%lld", seq)}, TEXT(","), b[0], TEXT("\t"), b[1],
        TEXT("\n"),
    };
    PyObject *line = joined(spans, MANY(spans));
    if (!line) return NULL;
    char *at = PyBytes_AS_STRING(line);
    PyObject *view = PyMemoryView_FromMemory(at + 9, PyBytes_GET_SIZE(line) - 10, PyBUF_READ);
    PyObject *sum = view ? PyObject_CallOneArg(crc32_of, view) : NULL;
    Py_XDECREF(view);
    unsigned long crc = sum ? PyLong_AsUnsignedLongMask(sum) : 0;
    Py_XDECREF(sum);
    if (PyErr_Occurred()) {
        Py_DECREF(line);
        return NULL;
    }
    put_hex((uint8_t[]){(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc}, 4, at);
    return line;
}

/* Where `wanted` begins in a span, -1 for nowhere. */
static Py_ssize_t place(Span in, Span wanted)
{
    const char *from = in.at, *end = in.at + in.size - wanted.size;
    while (from <= end && (from = memchr(from, wanted.at[0], (size_t)(end - from) + 1))) {
        if (!memcmp(from, wanted.at, (size_t)wanted.size)) return from - in.at;
        from++;
    }
    return -1;
}

/* The value of X-Forwarded-For in a header block, when it is nothing but addresses; else a size of 0. */
static Span addresses(Span block)
{
    const Span none = {block.at, 0};
    Py_ssize_t at = place(block, TEXT("\r\nX-Forwarded-For: "));
    if (at < 0) at = place(block, TEXT("\r\nx-forwarded-for: "));
    if (at < 0) return none;
    const char *start = block.at + at + 19, *end = start, *last = block.at + block.size;
    while (end < last && is_address[(unsigned char)*end]) end++;
    return last - end >= 2 && end[0] == '\r' && end[1] == '\n' ? (Span){start, end - start} : none;
}

/* The known head of a request for a link, borrowed; NULL for none, or with an exception. */
static PyObject *known_head(PyObject *known, Span message, Span *target, Span *forwarded)
{
    const char *start = message.at + 4, *end = message.at + message.size, *at = start + 3;
    if (message.size < 20 || memcmp(message.at, "GET /c/", 7)) return NULL;
    while (at < end && is_target[(unsigned char)*at]) at++;
    if (at == start + 3 || end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11)) return NULL;
    if (memchr(at, 0, (size_t)(end - at))) return NULL;
    *target = (Span){start, at - start};
    const Span block = {at + 9, end - at - 9};
    *forwarded = addresses(block);
    const char *behind = forwarded->at + forwarded->size;
    const Span without[] = {{block.at, forwarded->at - block.at}, TEXT("\0"), {behind, end - behind}};
    PyObject *key = forwarded->size ? joined(without, MANY(without)) : joined(&block, 1);
    PyObject *head = key ? PyDict_GetItemWithError(known, key) : NULL;
    Py_XDECREF(key);
    return head;
}

static PyObject *find_head(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span message, target, forwarded;
    if (many != 2 || !PyDict_CheckExact(given[0])) return PyErr_Format(PyExc_TypeError, "a dict and a message");
    if (read_spans(given + 1, 1, "b", &message) < 0) return NULL;
    PyObject *head = known_head(given[0], message, &target, &forwarded);
    if (!head && PyErr_Occurred()) return NULL;
    if (!head) Py_RETURN_NONE;
    Py_INCREF(head);
    PyObject *asked = joined(&target, 1);
    PyObject *from = forwarded.size ? joined(&forwarded, 1) : PyObject_GetAttr(head, names[FORWARDED]);
    PyObject *found = asked && from ? PyTuple_Pack(3, asked, head, from) : NULL;
    Py_DECREF(head);
    Py_XDECREF(asked);
    Py_XDECREF(from);
    return found;
}

/* What a click holds on to is let go of at the end, whatever the end. */
typedef struct {
    PyObject *held[64];
    int many;
} Holder;

static PyObject *hold(Holder *holder, PyObject *object)
{
    if (!object) return NULL;
    if (holder->many == MANY(holder->held)) Py_FatalError("a click holds more than it may");
    return holder->held[holder->many++] = object;
}

static PyObject *get(Holder *holder, PyObject *object, int name)
{
    return object ? hold(holder, PyObject_GetAttr(object, names[name])) : NULL;
}

/* A value of a dict; NULL for none, or with an exception. */
static PyObject *item(Holder *holder, PyObject *dict, PyObject *key)
{
    if (!dict || !key) return NULL;
    if (!PyDict_Check(dict)) return PyErr_Format(PyExc_TypeError, "a dict is needed");
    PyObject *value = PyDict_GetItemWithError(dict, key);
    Py_XINCREF(value);
    return hold(holder, value);
}

static void let_go(Holder *holder)
{
    while (holder->many) Py_DECREF(holder->held[--holder->many]);
}

/* A key of one window: how often it was counted so far, and what that says. Python looks closer at what is_unusual. */
typedef struct {
    PyObject *counts; /* the dict of the current bucket */
    long long seen;
    int bits, is_unusual;
} Tally;

static long long number_of(PyObject *window, PyObject *name)
{
    PyObject *number = PyObject_GetAttr(window, name);
    long long value = number ? PyLong_AsLongLong(number) : -1;
    Py_XDECREF(number);
    return value;
}

/* A window's dict or set; NULL with an exception when it is neither. */
static PyObject *counted(Holder *holder, PyObject *window, int name)
{
    PyObject *held = get(holder, window, name);
    if (held && !(name == HEAVY_BEFORE ? PySet_CheckExact(held) : PyDict_CheckExact(held))) {
        return PyErr_Format(PyExc_TypeError, "a window holds dicts and sets");
    }
    return held;
}

static long long seen_in(PyObject *counts, PyObject *key)
{
    PyObject *number = PyDict_GetItemWithError(counts, key);
    return number ? PyLong_AsLongLong(number) : PyErr_Occurred() ? -1 : 0;
}

static int count_in(PyObject *counts, PyObject *key, long long seen)
{
    PyObject *number = PyLong_FromLongLong(seen);
    int failed = number ? PyDict_SetItem(counts, key, number) : -1;
    Py_XDECREF(number);
    return failed;
}

static int look(Holder *holder, PyObject *window, PyObject *key, long long most, Tally *tally)
{
    PyObject *heavy = counted(holder, window, HEAVY_BEFORE);
    tally->counts = counted(holder, window, NOW);
    if (!heavy || !tally->counts || (tally->seen = seen_in(tally->counts, key)) < 0) return -1;
    int is_heavy = PySet_GET_SIZE(heavy) ? PySet_Contains(heavy, key) : 0;
    if (is_heavy < 0) return -1;
    tally->is_unusual = !tally->seen && PyDict_GET_SIZE(tally->counts) >= most;
    if (is_heavy || tally->seen >= number_of(window, names[ALARM])) {
        tally->bits = (int)number_of(window, names[BIT]);
        tally->is_unusual |= tally->seen < number_of(window, names[LIMIT]);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int look_at_pair(Holder *holder, PyObject *pairs, PyObject *link, PyObject *visitor, long long most, Tally *tally)
{
    PyObject *heavy = counted(holder, pairs, HEAVY_BEFORE), *now = counted(holder, pairs, NOW);
    PyObject *before = counted(holder, pairs, BEFORE);
    if (!heavy || !now || !before) return -1;
    PyObject *here = item(holder, now, link);
    if (!here && !PyErr_Occurred() && (here = hold(holder, PyDict_New())) && PyDict_SetItem(now, link, here) < 0) return -1;
    if (!here || !PyDict_CheckExact(here)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "pairs are counted in dicts of dicts");
        return -1;
    }
    tally->counts = here;
    if ((tally->seen = seen_in(here, visitor)) < 0) return -1;
    tally->bits = tally->seen > 0; /* velocity's first bit: a possible duplicate */
    if (!tally->seen) {
        PyObject *earlier = item(holder, before, link);
        if (earlier && PyDict_CheckExact(earlier)) tally->bits = PyDict_Contains(earlier, visitor);
        tally->is_unusual = number_of(pairs, names[HELD]) >= most;
    }
    if (tally->seen >= number_of(pairs, names[LIMIT])) {
        tally->bits |= (int)number_of(pairs, names[BIT]);
    } else if (tally->seen >= number_of(pairs, names[ALARM]) || number_of(pairs, names[PEAKS]) || PySet_GET_SIZE(heavy)) {
        tally->is_unusual = 1;
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* The windows of an organization, in the order of `Counts.windows`. */
enum { VISITORS, PAIRS, PREFIXES, LINKS, EVERYTHING, ALL_WINDOWS };

/* Bits of the reasons, -1 when Python should count, -2 with an exception: the five windows are one decision. */
static int look_everywhere(Holder *holder, PyObject *windows, PyObject *const *keys, long long most, Tally *tallies)
{
    int bits = 0;
    if (!PyTuple_CheckExact(windows) || PyTuple_GET_SIZE(windows) != ALL_WINDOWS) {
        PyErr_SetString(PyExc_TypeError, "an organization has five windows");
        return -2;
    }
    for (int i = 0; i < ALL_WINDOWS; i++) {
        PyObject *window = PyTuple_GET_ITEM(windows, i);
        if (i < LINKS && !PyObject_IsTrue(keys[i])) continue;
        int failed = i == PAIRS ? look_at_pair(holder, window, keys[LINKS], keys[i], most, &tallies[i])
                                : look(holder, window, keys[i], i == EVERYTHING ? LLONG_MAX : most, &tallies[i]);
        if (failed) return -2;
        if (tallies[i].is_unusual) return -1;
        bits |= tallies[i].bits;
    }
    return bits;
}

static int count_everywhere(PyObject *windows, PyObject *const *keys, const Tally *tallies)
{
    for (int i = 0; i < ALL_WINDOWS; i++) {
        if (tallies[i].counts && count_in(tallies[i].counts, keys[i], tallies[i].seen + 1) < 0) return -1;
    }
    if (!tallies[PAIRS].counts || tallies[PAIRS].seen) return 0;
    PyObject *pairs = PyTuple_GET_ITEM(windows, PAIRS);
    PyObject *held = PyLong_FromLongLong(number_of(pairs, names[HELD]) + 1);
    int failed = held ? PyObject_SetAttr(pairs, names[HELD], held) : -1;
    Py_XDECREF(held);
    return failed;
}

static PyObject *count_usual(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Tally tallies[ALL_WINDOWS] = {{0}};
    if (many != 6) return PyErr_Format(PyExc_TypeError, "six arguments are needed");
    PyObject *const keys[ALL_WINDOWS] = {given[3], given[3], given[4], given[2], given[1]};
    long long most = PyLong_AsLongLong(given[5]);
    if (most == -1 && PyErr_Occurred()) return NULL;
    Holder holder = {{0}, 0};
    int bits = look_everywhere(&holder, given[0], keys, most, tallies);
    int failed = bits == -2 || (bits >= 0 && count_everywhere(given[0], keys, tallies) < 0);
    let_go(&holder);
    return failed ? NULL : PyLong_FromLong(bits);
}

static long long milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What `Edge.kit` holds. */
enum { PATHS, SALTS, ORGANIZATIONS, VELOCITY, JUDGE, PLACES, STAMP, RANDOM_BYTES, RFC3339, REASONS, DRAWN_BYTES, KIT };

/* One day's hash of a visitor, empty without a salt of that day. -1 with an exception. */
static int put_hash(Holder *holder, PyObject *salts, long long day, Span *visitor, char text[32], Span *hash)
{
    PyObject *salt = item(holder, salts, hold(holder, PyLong_FromLongLong(day)));
    *hash = (Span){text, 0};
    if (!salt || read_spans(&salt, 1, "b", visitor) < 0 || !visitor[0].size) return PyErr_Occurred() ? -1 : 0;
    put_visitor(visitor, text);
    hash->size = 32;
    return 0;
}

/* Whether somebody else wants to know of each click, or old counts want to be cleared away. */
static int note_click(Holder *holder, PyObject *velocity, PyObject *const *keys)
{
    PyObject *clicks = get(holder, velocity, CLICKS);
    if (clicks == Py_None) return 0;
    PyObject *click = hold(holder, PyTuple_Pack(4, keys[EVERYTHING], keys[LINKS], keys[VISITORS], keys[PREFIXES]));
    return click && clicks ? PyList_Append(clicks, click) : -1;
}

/* The link and the head of a usual click: no query, no proxy, nobody who opted out; a link without dates. */
static int find_both(Holder *holder, PyObject *paths, PyObject *known, Span message, PyObject **head, PyObject **link)
{
    Span target, forwarded, host;
    *head = known_head(known, message, &target, &forwarded);
    if (!*head || forwarded.size || memchr(target.at, '?', (size_t)target.size)) return 0;
    Py_INCREF(hold(holder, *head));
    PyObject *named = get(holder, *head, HOST), *from = get(holder, *head, FORWARDED);
    if (!named || !from || PyObject_IsTrue(from) || get(holder, *head, IS_OPTED_OUT) != Py_False) return 0;
    if (read_spans(&named, 1, "b", &host) < 0) return 0;
    const Span path[] = {target, TEXT(" "), host};
    *link = item(holder, paths, hold(holder, joined(path, MANY(path))));
    return *link && get(holder, *link, IS_STALE) == Py_False && get(holder, *link, IS_ALWAYS_OPEN) == Py_True;
}

/* An organization's windows at a time, and how many keys each may have; NULL when Python should bring them there. */
static PyObject *windows_at(Holder *holder, PyObject *counts, long long now_ms, long long *most)
{
    if (!counts) return NULL;
    long long starts_ms = number_of(counts, names[STARTS_MS]), ends_ms = number_of(counts, names[ENDS_MS]);
    *most = number_of(counts, names[MOST]);
    return starts_ms <= now_ms && now_ms < ends_ms && !PyErr_Occurred() ? get(holder, counts, WINDOWS) : NULL;
}

/* The members that the judge remembers for a header set, a network and some reasons; NULL when it has to judge. */
static PyObject *verdict(Holder *holder, PyObject *judge, PyObject *evidence, PyObject *place, PyObject *reasons)
{
    PyObject *verdicts = get(holder, evidence, VERDICTS);
    if (!verdicts || verdicts == Py_None || !place || !reasons) return NULL;
    if (get(holder, verdicts, VERSIONS) != get(holder, judge, VERSIONS)) return NULL;
    return item(holder, verdicts, hold(holder, PyTuple_Pack(2, place, reasons)));
}

/* Arguments as `usual_click`'s. NULL without an exception: nothing was counted, and Python takes the click. */
static PyObject *take(Holder *holder, PyObject *const *given)
{
    Span message, visitor[4], parts[PARTS];
    char hashes[2][32];
    PyObject *const *kit = &PyTuple_GET_ITEM(given[0], 0), *head, *link;
    if (read_spans(given + 4, 1, "b", &message) < 0) return NULL;
    if (!find_both(holder, kit[PATHS], given[1], message, &head, &link)) return NULL;

    PyObject *stamp = hold(holder, PyObject_CallNoArgs(kit[STAMP]));
    long long at_ms = stamp ? PyLong_AsLongLong(stamp) : -1;
    PyObject *organization = get(holder, link, ORGANIZATION), *agent = get(holder, head, USER_AGENT);
    PyObject *const of_visitor[] = {organization, given[2], agent};
    if (at_ms < 0 || !organization || !agent || read_spans(of_visitor, 3, "bsb", visitor + 1) < 0) return NULL;
    if (put_hash(holder, kit[SALTS], at_ms / DAY_MS, visitor, hashes[0], &parts[TODAY]) < 0) return NULL;
    parts[DAY_BEFORE] = (Span){"", 0}; /* as `visitor_hashes` has it: both, in the half hour after midnight */
    if (at_ms % DAY_MS < MIDNIGHT_MS &&
        put_hash(holder, kit[SALTS], at_ms / DAY_MS - 1, visitor, hashes[1], &parts[DAY_BEFORE]) < 0) return NULL;

    Tally tallies[ALL_WINDOWS] = {{0}};
    long long most, now_ms = milliseconds(); /* not the stamp, which stands still when the clock was set back */
    PyObject *today = hold(holder, PyUnicode_FromStringAndSize(hashes[0], parts[TODAY].size));
    PyObject *const keys[ALL_WINDOWS] = {today, today, given[3], get(holder, link, LINK_ID), organization};
    PyObject *windows = windows_at(holder, item(holder, kit[ORGANIZATIONS], organization), now_ms, &most);
    PyObject *litter = get(holder, kit[VELOCITY], LITTER);
    if (!today || !keys[LINKS] || !windows || !litter || PyObject_IsTrue(litter)) return NULL;
    int bits = look_everywhere(holder, windows, keys, most, tallies);
    if (bits < 0 || bits >= PyTuple_GET_SIZE(kit[REASONS])) return NULL;

    PyObject *place = item(holder, get(holder, kit[PLACES], CACHE), given[2]), *evidence = get(holder, head, EVIDENCE);
    PyObject *judged = verdict(holder, kit[JUDGE], evidence, place, PyTuple_GET_ITEM(kit[REASONS], bits));
    if (!judged) return NULL;
    PyObject *at = hold(holder, PyObject_CallOneArg(kit[RFC3339], stamp));
    PyObject *drawn = hold(holder, PyObject_CallOneArg(kit[RANDOM_BYTES], kit[DRAWN_BYTES]));
    PyObject *const texts[] = {at, drawn, get(holder, link, LEAF), judged, get(holder, head, LEAF), get(holder, head, EXPIRING)};
    for (int i = 0; i < MANY(texts); i++) if (!texts[i]) return NULL;
    if (read_spans(texts, MANY(texts), "sbssss", parts) < 0 || read_spans(given + 3, 1, "s", &parts[PREFIX]) < 0) return NULL;
    PyObject *event = hold(holder, make_event(at_ms, parts, 0));
    if (!event || count_everywhere(windows, keys, tallies) < 0 || note_click(holder, kit[VELOCITY], keys) < 0) return NULL;
    PyObject *const *made = &PyTuple_GET_ITEM(event, 0);
    return PyTuple_Pack(4, link, made[0], made[1], made[2]);
}

/* Arguments: kit, known heads, address, prefix, message. */
static PyObject *usual_click(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Holder holder = {{0}, 0};
    if (many == 5 && PyTuple_CheckExact(given[0]) && !PyTuple_GET_SIZE(given[0])) Py_RETURN_NONE;
    if (many != 5 || !PyTuple_CheckExact(given[0]) || PyTuple_GET_SIZE(given[0]) != KIT || !PyDict_CheckExact(given[1])) {
        return PyErr_Format(PyExc_TypeError, "a kit, known heads, address, prefix and message");
    }
    if (!PyTuple_CheckExact(PyTuple_GET_ITEM(given[0], REASONS))) return PyErr_Format(PyExc_TypeError, "reasons by bits");
    PyObject *taken = take(&holder, given);
    let_go(&holder);
    if (taken || PyErr_Occurred()) return taken;
    Py_RETURN_NONE;
}

/* Arguments: Location before the ID and behind it, key, head and middle of it, what answers begin with, event, flags. */
static PyObject *answer_found(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[3];
    char id[63];
    if (many != 8) return PyErr_Format(PyExc_TypeError, "eight arguments are needed");
    PyObject *const of_answer[] = {given[0], given[1], given[5]};
    PyObject *const of_id[] = {given[2], given[3], given[4], given[6], given[7]};
    if (read_spans(of_answer, 3, "bbb", a) < 0 || put_click_id(of_id, id) < 0) return NULL;
    const Span answer[] = {a[2], a[0], ARRAY(id), a[1], TEXT("\r\n\r\n")};
    return joined(answer, MANY(answer));
}

#define FUNCTION(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}

static PyMethodDef functions[] = {
    FUNCTION(sha256), FUNCTION(visitor_hash), FUNCTION(prepare_key), FUNCTION(sign), FUNCTION(mint),
    FUNCTION(click_event), FUNCTION(join_line), FUNCTION(find_head), FUNCTION(count_usual), FUNCTION(usual_click),
    FUNCTION(answer_found), {NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_clicks", NULL, -1, functions};

PyMODINIT_FUNC PyInit__clicks(void)
{
    static const char *const attributes[NAMES] = {
        "now", "before", "heavy_before", "alarm", "limit", "bit", "peaks", "held", "windows", "most", "starts_ms",
        "ends_ms", "clicks", "litter", "forwarded", "host", "evidence", "is_opted_out", "leaf", "expiring",
        "user_agent", "verdicts", "versions", "is_stale", "is_always_open", "organization", "link_id", "cache",
    };
    for (int i = 0; i < NAMES; i++) {
        if (!names[i] && !(names[i] = PyUnicode_InternFromString(attributes[i]))) return NULL;
    }
    for (int i = 1; i < 128; i++) {
        int is_digit = i >= '0' && i <= '9', letter = i | 32;
        is_address[i] = is_digit || (letter >= 'a' && letter <= 'f') || strchr(".:, ", i);
        is_target[i] = is_digit || (letter >= 'a' && letter <= 'z') || strchr("_-.~!$&'()*+,;=:@/?%", i);
    }
    compress = best_compress();
    PyObject *zlib = PyImport_ImportModule("zlib");
    crc32_of = zlib ? PyObject_GetAttrString(zlib, "crc32") : NULL;
    Py_XDECREF(zlib);
    PyObject *module = crc32_of ? PyModule_Create(&definition) : NULL;
    if (module && PyModule_AddStringConstant(module, "SOURCES", SOURCES) < 0) Py_CLEAR(module);
    return module;
}
