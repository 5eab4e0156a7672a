/* Heads that are known; the twins are in click/head.py. */

enum { MAX_HEAD = 16 << 10, LENGTH_DIGITS = 6 };

/* As `_READ_VALUES` there, beside what starts with `sec-`. */
static const Span READ_VALUES[] = {
    TEXT_OF("te"), TEXT_OF("dnt"), TEXT_OF("dpr"), TEXT_OF("ect"), TEXT_OF("rtt"), TEXT_OF("host"), TEXT_OF("x-moz"),
    TEXT_OF("accept"), TEXT_OF("expect"), TEXT_OF("origin"), TEXT_OF("pragma"), TEXT_OF("purpose"), TEXT_OF("referer"),
    TEXT_OF("upgrade"), TEXT_OF("downlink"), TEXT_OF("priority"), TEXT_OF("save-data"), TEXT_OF("x-purpose"),
    TEXT_OF("cf-visitor"), TEXT_OF("connection"), TEXT_OF("user-agent"), TEXT_OF("content-type"),
    TEXT_OF("authorization"), TEXT_OF("cache-control"), TEXT_OF("device-memory"), TEXT_OF("accept-charset"),
    TEXT_OF("viewport-width"), TEXT_OF("accept-encoding"), TEXT_OF("accept-language"), TEXT_OF("content-encoding"),
    TEXT_OF("proxy-connection"), TEXT_OF("x-requested-with"), TEXT_OF("transfer-encoding"),
    TEXT_OF("x-forwarded-proto"), TEXT_OF("upgrade-insecure-requests"), TEXT_OF("cloudfront-forwarded-proto"),
};
static unsigned char is_target[256], is_address[256], is_in_value[256];

static void make_classes(void)
{
    for (int i = 0; i < 256; i++) {
        int is_digit = i >= '0' && i <= '9', letter = i | 32;
        is_address[i] = is_digit || (letter >= 'a' && letter <= 'f' && i < 128) || (i && i < 128 && strchr(".:, ", i));
        is_target[i] = is_digit || (letter >= 'a' && letter <= 'z' && i < 128)
            || (i && i < 128 && strchr("_-.~!$&'()*+,;=:@/?%", i));
        is_in_value[i] = i == '\t' || (i >= ' ' && i != 127);
    }
}

static int is_all(Span span, const unsigned char *class)
{
    for (Py_ssize_t i = 0; i < span.size; i++) {
        if (!class[(unsigned char)span.at[i]]) return 0;
    }
    return 1;
}

static int is_read(Span name)
{
    for (int i = 0; i < MANY(READ_VALUES); i++) {
        if (name.size == READ_VALUES[i].size && starts_with(name, READ_VALUES[i])) return 1;
    }
    return starts_with(name, TEXT("sec-"));
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

typedef struct {
    char key[MAX_HEAD * 5 / 4]; /* a line of four bytes, the shortest with a name, may become one of five */
    Py_ssize_t size, length;    /* of the key; Content-Length, -1 for none */
    Span forwarded;
    int has_forwarded;
} Known;

static void put_key(Known *known, Span some)
{
    if (some.size > (Py_ssize_t)sizeof known->key - known->size) Py_FatalError("a head is longer than it may be");
    memcpy(known->key + known->size, some.at, (size_t)some.size);
    known->size += some.size;
}

/* One line, without its end. 0 for one that no usual head has. */
static int know_line(Known *known, Span line)
{
    const char *colon = memchr(line.at, ':', (size_t)line.size);
    const Span name = {line.at, colon ? colon - line.at : 0};
    Span value = {line.at + name.size + 1, line.size - name.size - 1};
    if (!name.size || is_read(name)) {
        put_key(known, line);
        return 1;
    }
    while (value.size && (value.at[0] == ' ' || value.at[0] == '\t')) value.at++, value.size--;
    while (value.size && (value.at[value.size - 1] == ' ' || value.at[value.size - 1] == '\t')) value.size--;
    int is_known = 1;
    if (name.size == 14 && starts_with(name, TEXT("content-length"))) {
        if (known->length >= 0 || !value.size || value.size > LENGTH_DIGITS) return 0;
        known->length = 0;
        for (Py_ssize_t i = 0; i < value.size; i++) {
            if (value.at[i] < '0' || value.at[i] > '9') return 0;
            known->length = known->length * 10 + (value.at[i] - '0');
        }
    } else if (name.size == 15 && starts_with(name, TEXT("x-forwarded-for"))) {
        if (known->has_forwarded) return 0;
        known->has_forwarded = 1;
        is_known = value.size && is_all(value, is_address);
        if (is_known) known->forwarded = value;
    } else {
        is_known = is_all(value, is_in_value);
    }
    put_key(known, is_known ? (Span){line.at, name.size + 1} : line);
    if (is_known) put_key(known, TEXT("\0"));
    return 1;
}

/* Reads all lines of a head, to its end; `known` begins with what stands before them. 0 for what is no usual head. */
static int know_lines(Known *known, Span lines)
{
    const char *at = lines.at, *end = lines.at + lines.size;
    int is_first = 1;
    known->length = -1;
    if (known->size + lines.size > MAX_HEAD || has_byte(lines, 0)) return 0;
    for (const char *next; (next = memchr(at, '\n', (size_t)(end - at))); at = next + 1, is_first = 0) {
        const Span line = {at, next - at - 1};
        if (line.size < 0 || next[-1] != '\r' || has_byte(line, '\r')) return 0;
        if (!line.size) return !is_first && next + 1 == end;
        if (line.at[0] == ' ' || line.at[0] == '\t') return 0;
        if (!is_first) put_key(known, TEXT("\r\n"));
        if (!know_line(known, line)) return 0;
    }
    return 0;
}

/* What is known of a request's head, borrowed; NULL for nothing, or with an exception. */
static PyObject *known_head(PyObject *heads, Span message, Span *target, Span *forwarded)
{
    const char *start = message.at + 4, *end = message.at + message.size, *at = start + 3;
    if (message.size < 20 || message.size > MAX_HEAD || memcmp(message.at, "GET /c/", 7)) return NULL;
    while (at < end && is_target[(unsigned char)*at]) at++;
    if (at == start + 3 || end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11)) return NULL;
    Known known;
    known.size = known.has_forwarded = 0;
    known.forwarded = (Span){"", 0};
    if (!know_lines(&known, (Span){at + 11, end - at - 11}) || known.length >= 0) return NULL;
    *target = (Span){start, at - start};
    *forwarded = known.forwarded;
    PyObject *key = PyBytes_FromStringAndSize(known.key, known.size);
    PyObject *head = key ? PyDict_GetItemWithError(heads, key) : NULL;
    Py_XDECREF(key);
    return head;
}

static PyObject *known_post(PyObject *posts, Span message, Span *body, Span *forwarded)
{
    uint8_t digest[32];
    Known known;
    if (message.size < 20 || message.size > MAX_HEAD || memcmp(message.at, "POST ", 5)) return NULL;
    Py_ssize_t start = place(message, TEXT("\r\n")) + 2, end = place(message, TEXT("\r\n\r\n")) + 4;
    if (start < 2 || end < 4 || has_byte((Span){message.at, start}, 0)) return NULL;
    known.size = known.has_forwarded = 0;
    known.forwarded = (Span){"", 0};
    put_key(&known, (Span){message.at, start});
    if (!know_lines(&known, (Span){message.at + start, end - start})) return NULL;
    *body = (Span){message.at + end, message.size - end};
    *forwarded = known.forwarded;
    if (known.length != body->size) return NULL;
    hash_spans(&(Span){known.key, known.size}, 1, digest);
    PyObject *key = PyBytes_FromStringAndSize((char *)digest, sizeof digest);
    PyObject *post = key ? PyDict_GetItemWithError(posts, key) : NULL;
    Py_XDECREF(key);
    return post;
}
