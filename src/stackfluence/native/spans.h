/* Bytes as spans of address and length: never read up to a NUL, only written by what measures before it copies. */

#include <Python.h>

#include "sha256.h"

typedef struct {
    const char *at;
    Py_ssize_t size;
} Span;

#define TEXT_OF(literal) {literal, sizeof(literal) - 1}
#define TEXT(literal) ((Span)TEXT_OF(literal))
#define ARRAY(array) ((Span){(const char *)(array), sizeof(array)})
#define MANY(array) ((int)(sizeof(array) / sizeof *(array)))
#define ROOM 4096

typedef struct { /* what doesn't fit is left out, and said */
    char at[ROOM];
    Py_ssize_t size;
    int is_full;
} Text;

static void put(Text *to, Span some)
{
    if (some.size > ROOM - to->size) {
        to->is_full = 1;
        return;
    }
    memcpy(to->at + to->size, some.at, (size_t)some.size);
    to->size += some.size;
}

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

static int is_same(Span one, Span other)
{
    return one.size == other.size && !memcmp(one.at, other.at, (size_t)one.size);
}

static int has_byte(Span in, char wanted)
{
    return in.size > 0 && memchr(in.at, wanted, (size_t)in.size) != NULL;
}

static char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? (char)(letter | 32) : letter; }

/* Whether a span begins with letters that are given in lower case. */
static int starts_with(Span span, Span folded)
{
    if (span.size < folded.size) return 0;
    for (Py_ssize_t i = 0; i < folded.size; i++) {
        if (lower(span.at[i]) != folded.at[i]) return 0;
    }
    return 1;
}
