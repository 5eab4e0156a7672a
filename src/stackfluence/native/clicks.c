/* What the edge does with every click, in C: each function here has a twin in Python that says what it does, marked
 * `@compiled` where it stands, and gives the same bytes. `build` compiles this file; nothing fails without it.
 *
 * Bytes are only read as spans (address and length) and only written by `joined`, which measures before it copies.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

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

enum { NOW, BEFORE, HEAVY_BEFORE, ALARM, LIMIT, BIT, PEAKS, HELD, FORWARDED, NAMES };
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

static PyObject *visitor_hash(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[4];
    uint8_t digest[32];
    char text[32];
    if (read_spans(given, many, "bbsb", a) < 0) return NULL;
    const Span said[] = {a[0], a[1], {"", 1}, a[2], {"", 1}, a[3]};
    hash_spans(said, MANY(said), digest);
    put_hex(digest, 16, text);
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

static PyObject *mint(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    Span a[4]; /* prepared key, head, middle, event */
    uint8_t raw[48] = {0}, digest[32];
    char text[64];
    if (many != 5) return PyErr_Format(PyExc_TypeError, "five arguments are needed");
    if (read_spans(given, 4, "bbbb", a) < 0) return NULL;
    long flags = PyLong_AsLong(given[4]);
    if (flags == -1 && PyErr_Occurred()) return NULL;
    if (a[1].size != 2 || a[2].size != 12 || a[3].size != 16 || flags < 0 || flags > 255) {
        return PyErr_Format(PyExc_ValueError, "no parts of a click ID");
    }
    memcpy(raw, a[1].at, 2);
    raw[2] = (uint8_t)flags;
    memcpy(raw + 3, a[2].at, 12);
    memcpy(raw + 15, a[3].at, 16);
    const Span message = {(char *)raw, 31};
    if (put_signature(a[0], &message, 1, digest) < 0) return NULL;
    memcpy(raw + 31, digest, 16);
    for (int i = 0; i < 16; i++) {
        uint32_t three = (uint32_t)raw[3 * i] << 16 | (uint32_t)raw[3 * i + 1] << 8 | raw[3 * i + 2];
        for (int j = 0; j < 4; j++) text[4 * i + j] = alphabet[three >> (18 - 6 * j) & 63];
    }
    return PyBytes_FromStringAndSize(text, 63);
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

static PyObject *click_event(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[10];
    enum { AT, DRAWN, LINK, JUDGED, LEAF, EXPIRING, TODAY, BEFORE_TODAY, PREFIX };
    if (many != 11) return PyErr_Format(PyExc_TypeError, "eleven arguments are needed");
    long long at_ms = PyLong_AsLongLong(given[0]);
    if ((at_ms == -1 && PyErr_Occurred()) || read_spans(given + 1, 9, "sbsssssss", a) < 0) return NULL;
    int is_opted_out = given[10] == Py_True, has_before = a[BEFORE_TODAY].size > 0;
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
        TEXT("\t{\"salt\":\""), ARRAY(salt), TEXT("\","), a[EXPIRING],
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
        a[JUDGED], a[LEAF], is_opted_out ? nothing : TEXT("\"visitor_hash\":\""), is_opted_out ? nothing : a[TODAY],
        is_opted_out || !has_before ? nothing : TEXT("\",\"visitor_hash_before\":\""),
        is_opted_out || !has_before ? nothing : a[BEFORE_TODAY], is_opted_out ? nothing : TEXT("\","),
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

static PyObject *find_head(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span message;
    if (many != 2 || !PyDict_CheckExact(given[0])) return PyErr_Format(PyExc_TypeError, "a dict and a message");
    if (read_spans(given + 1, 1, "b", &message) < 0) return NULL;
    const char *target = message.at + 4, *end = message.at + message.size, *at = target + 3;
    if (message.size < 20 || memcmp(message.at, "GET /c/", 7)) Py_RETURN_NONE;
    while (at < end && is_target[(unsigned char)*at]) at++;
    if (at == target + 3 || end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11)) Py_RETURN_NONE;
    if (memchr(at, 0, (size_t)(end - at))) Py_RETURN_NONE;
    const char *start = at + 9;
    const Span block = {start, end - start}, forwarded = addresses(block);
    const Span without[] = {
        {start, forwarded.at - start}, TEXT("\0"), {forwarded.at + forwarded.size, end - forwarded.at - forwarded.size},
    };
    PyObject *key = forwarded.size ? joined(without, 3) : joined(&block, 1);
    if (!key) return NULL;
    PyObject *head = PyDict_GetItemWithError(given[0], key);
    Py_DECREF(key);
    if (!head) {
        if (PyErr_Occurred()) return NULL;
        Py_RETURN_NONE;
    }
    Py_INCREF(head);
    PyObject *asked = PyBytes_FromStringAndSize(target, at - target);
    PyObject *from = forwarded.size ? joined(&forwarded, 1) : PyObject_GetAttr(head, names[FORWARDED]);
    PyObject *found = asked && from ? PyTuple_Pack(3, asked, head, from) : NULL;
    Py_DECREF(head);
    Py_XDECREF(asked);
    Py_XDECREF(from);
    return found;
}

/* A key of one window: how often it was counted so far, and what that says. Python looks closer at what is_unusual. */
typedef struct {
    PyObject *counts; /* the dict of the current bucket, which the window holds */
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

/* A window's dict or set: borrowed, since the window goes on holding it. NULL with an exception when it is neither. */
static PyObject *held_by(PyObject *window, PyObject *name, int is_set)
{
    PyObject *held = PyObject_GetAttr(window, name);
    Py_XDECREF(held);
    if (held && !(is_set ? PySet_CheckExact(held) : PyDict_CheckExact(held))) {
        PyErr_SetString(PyExc_TypeError, "a window holds dicts and sets");
        return NULL;
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

static int look(PyObject *window, PyObject *key, long long most, Tally *tally)
{
    PyObject *heavy = held_by(window, names[HEAVY_BEFORE], 1);
    tally->counts = held_by(window, names[NOW], 0);
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

static int look_at_pair(PyObject *pairs, PyObject *link, PyObject *visitor, long long most, Tally *tally)
{
    PyObject *heavy = held_by(pairs, names[HEAVY_BEFORE], 1), *now = held_by(pairs, names[NOW], 0);
    PyObject *before = held_by(pairs, names[BEFORE], 0);
    if (!heavy || !now || !before) return -1;
    PyObject *here = PyDict_GetItemWithError(now, link);
    if (!here && !PyErr_Occurred() && (here = PyDict_New())) {
        int failed = PyDict_SetItem(now, link, here);
        Py_DECREF(here); /* `now` holds it */
        if (failed) return -1;
    }
    if (!here || !PyDict_CheckExact(here)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "pairs are counted in dicts of dicts");
        return -1;
    }
    tally->counts = here;
    if ((tally->seen = seen_in(here, visitor)) < 0) return -1;
    tally->bits = tally->seen > 0; /* velocity's first bit: a possible duplicate */
    if (!tally->seen) {
        PyObject *earlier = PyDict_GetItemWithError(before, link);
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

/* Returns the bits, or -1 without having counted when Python should: the five windows are one decision. */
static PyObject *count_usual(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    enum { VISITORS, PAIRS, PREFIXES, LINKS, EVERYTHING, WINDOWS };
    Tally tallies[WINDOWS] = {{0}};
    if (many != 6 || !PyTuple_CheckExact(given[0]) || PyTuple_GET_SIZE(given[0]) != WINDOWS) {
        return PyErr_Format(PyExc_TypeError, "five windows, what to count, and how many keys there may be");
    }
    PyObject *const *windows = &PyTuple_GET_ITEM(given[0], 0);
    PyObject *organization = given[1], *link = given[2], *visitor = given[3], *prefix = given[4];
    PyObject *const keys[WINDOWS] = {visitor, visitor, prefix, link, organization};
    long long most = PyLong_AsLongLong(given[5]);
    int bits = 0;
    if (most == -1 && PyErr_Occurred()) return NULL;
    for (int i = 0; i < WINDOWS; i++) {
        int is_named = i >= LINKS || PyObject_IsTrue(keys[i]);
        if (!is_named) continue;
        int failed = i == PAIRS ? look_at_pair(windows[i], link, visitor, most, &tallies[i])
                                : look(windows[i], keys[i], i == EVERYTHING ? LLONG_MAX : most, &tallies[i]);
        if (failed) return NULL;
        if (tallies[i].is_unusual) return PyLong_FromLong(-1);
        bits |= tallies[i].bits;
    }
    for (int i = 0; i < WINDOWS; i++) {
        if (tallies[i].counts && count_in(tallies[i].counts, keys[i], tallies[i].seen + 1) < 0) return NULL;
    }
    if (tallies[PAIRS].counts && !tallies[PAIRS].seen) {
        PyObject *held = PyLong_FromLongLong(number_of(windows[PAIRS], names[HELD]) + 1);
        int failed = held ? PyObject_SetAttr(windows[PAIRS], names[HELD], held) : -1;
        Py_XDECREF(held);
        if (failed) return NULL;
    }
    return PyLong_FromLong(bits);
}

#define FUNCTION(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}

static PyMethodDef functions[] = {
    FUNCTION(sha256), FUNCTION(visitor_hash), FUNCTION(prepare_key), FUNCTION(sign), FUNCTION(mint),
    FUNCTION(click_event), FUNCTION(join_line), FUNCTION(find_head), FUNCTION(count_usual), {NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_clicks", NULL, -1, functions};

PyMODINIT_FUNC PyInit__clicks(void)
{
    static const char *const attributes[NAMES] = {
        "now", "before", "heavy_before", "alarm", "limit", "bit", "peaks", "held", "forwarded",
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
