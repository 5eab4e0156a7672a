/* Who clicked, and the ids of clicks and events; the twins are in click/visitor.py, click/click_id.py, clock.py and collect/. */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static unsigned char of_letter[256]; /* 64 for what isn't in the alphabet */

static void make_letters(void)
{
    memset(of_letter, 64, sizeof of_letter);
    for (int i = 0; i < 64; i++) of_letter[(unsigned char)alphabet[i]] = (unsigned char)i;
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

/* Spans: prepared key, head, middle, event. */
static int put_click_id(const Span a[4], PyObject *said, char id[63])
{
    uint8_t raw[48] = {0}, digest[32];
    long flags = PyLong_AsLong(said);
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

/* Arguments: prepared key, head, middle, event, flags. */
static PyObject *mint(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[4];
    char id[63];
    if (many != 5) return PyErr_Format(PyExc_TypeError, "five arguments are needed");
    if (read_spans(given, 4, "bbbb", a) < 0 || put_click_id(a, given[4], id) < 0) return NULL;
    return PyBytes_FromStringAndSize(id, sizeof id);
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

static PyObject *uuid_text(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span raw;
    char text[36];
    if (read_spans(given, many, "b", &raw) < 0) return NULL;
    if (raw.size != 16) return PyErr_Format(PyExc_ValueError, "a UUID has 16 bytes");
    put_uuid((const uint8_t *)raw.at, text);
    return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, text, sizeof text);
}

/* The 47 bytes of a click ID's 63 letters; 0 for any other spelling, or another version. */
static int read_click_id(Span text, uint8_t raw[48])
{
    uint32_t word = 0, odd = 0;
    if (text.size != 63) return 0;
    for (int i = 0; i < 64; i++) {
        uint8_t sextet = i < 63 ? of_letter[(unsigned char)text.at[i]] : 0;
        odd |= sextet & 64;
        word = word << 6 | sextet;
        if (i % 4 == 3) {
            for (int j = 0; j < 3; j++) raw[i / 4 * 3 + j] = (uint8_t)(word >> (16 - 8 * j));
        }
    }
    return !odd && !raw[47] && raw[0] == 1;
}

/* Crockford's base32, as `names.base32` writes it. */
static void put_base32(const uint8_t *raw, int many, char *text)
{
    uint64_t value = 0;
    for (int i = 0; i < many; i++) value = value << 8 | raw[i];
    for (int i = (8 * many + 4) / 5; i--; value >>= 5) text[i] = "0123456789abcdefghjkmnpqrstvwxyz"[value & 31];
}

static PyObject *opened(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span text, key;
    uint8_t raw[48], digest[32], difference = 0;
    char event[36], organization[] = "org_0000000", link[] = "lnk_0000000000";
    if (many != 2 || !PyDict_CheckExact(given[0])) return PyErr_Format(PyExc_TypeError, "a dict and a click ID");
    if (PyUnicode_Check(given[1]) && !PyUnicode_IS_ASCII(given[1])) Py_RETURN_NONE;
    if (read_spans(given + 1, 1, "s", &text) < 0) return NULL;
    if (!read_click_id(text, raw)) Py_RETURN_NONE;
    PyObject *name = joined((const Span[]){{(char *)raw + 1, 1}, {(char *)raw + 5, 4}}, 2);
    PyObject *prepared = name ? PyDict_GetItemWithError(given[0], name) : NULL;
    Py_XDECREF(name);
    if (!prepared && PyErr_Occurred()) return NULL;
    if (!prepared) Py_RETURN_NONE;
    if (read_spans(&prepared, 1, "b", &key) < 0 || put_signature(key, &(Span){(char *)raw, 31}, 1, digest) < 0) return NULL;
    for (int i = 0; i < 16; i++) difference |= digest[i] ^ raw[31 + i]; /* takes as long wherever they differ */
    if (difference) Py_RETURN_NONE;
    long long hours = raw[3] << 8 | raw[4], issued_ms = 0;
    for (int i = 0; i < 6; i++) issued_ms = issued_ms << 8 | raw[15 + i];
    put_uuid(raw + 15, event);
    put_base32(raw + 5, 4, organization + 4);
    put_base32(raw + 9, 6, link + 4);
    return Py_BuildValue("s#ssLLOOi", event, (Py_ssize_t)sizeof event, organization, link, issued_ms, issued_ms + hours * 3600000,
                         raw[2] & 1 ? Py_True : Py_False, raw[2] & 2 ? Py_True : Py_False, raw[1]);
}

static PyObject *keyed_event_id(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[3];
    uint8_t digest[32];
    char text[36];
    if (read_spans(given, many, "sss", a) < 0) return NULL;
    const Span said[] = {a[0], {"", 1}, a[1], {"", 1}, a[2]};
    hash_spans(said, MANY(said), digest);
    digest[6] = 0x80 | (digest[6] & 0x0f);
    digest[8] = 0x80 | (digest[8] & 0x3f);
    put_uuid(digest, text);
    return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, text, sizeof text);
}

/* The hash of the hashes of both halves, 32 zero bytes for one that is empty, as hex digits. */
static void put_commitment(Span kept, Span expiring, char text[64])
{
    uint8_t promise[64] = {0}, digest[32];
    if (kept.size) hash_spans(&kept, 1, promise);
    if (expiring.size) hash_spans(&expiring, 1, promise + 32);
    hash_spans(&ARRAY(promise), 1, digest);
    put_hex(digest, sizeof digest, text);
}

static PyObject *commitment(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[2];
    char text[64];
    if (read_spans(given, many, "bb", a) < 0) return NULL;
    if (!a[0].size && !a[1].size) return PyUnicode_FromStringAndSize("", 0);
    put_commitment(a[0], a[1], text);
    return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, text, sizeof text);
}
