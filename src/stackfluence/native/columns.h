/* Columns that grow row by row, and ClickHouse's Native format in which they are written. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "columns are written in the order of little-endian processors"
#endif

#define TEXT_OF(literal) ((Span){literal, sizeof(literal) - 1})
#define VARINT_BYTES 10
#define LARGE_PAGE ((size_t)2 << 20)

typedef struct {
    const char *at;
    size_t size;
} Span;

typedef struct {
    char *at;
    size_t size, room;
} Bytes;

typedef struct { /* LowCardinality: the different texts, and each row's place among them */
    Span *known;
    uint32_t *slots, room, many, last; /* a slot holds a place plus one, or 0; the text's hash says where it is */
    Bytes places;
} Words;

typedef struct {
    Bytes bytes, keys, values; /* of several texts: where each row's end, and the texts of pairs */
    Words words;
    uint64_t many;
} Column;

typedef enum { TEXT, WORD, WORDS, PAIRS, ID, TIME, NUMBER, FLAG, UNREAD_TEXT, UNREAD_PAIRS } Kind;

typedef struct {
    const char *name;
    size_t size;
    Kind kind;
    const char *type;
    size_t width;
    int64_t most;
} Field;

#define FIELD(name, ...) {#name, sizeof #name - 1, __VA_ARGS__}
#define A_TEXT TEXT, "String"
#define A_WORD WORD, "LowCardinality(String)"
#define AN_ID ID, "UUID", 16
#define A_TIME TIME, "DateTime64(3, 'UTC')", 8
#define A_FLAG FLAG, "Bool", 1

typedef struct {
    Span text;      /* of several texts: what is between the brackets */
    int64_t number; /* of several texts: how many, or how many pairs */
    uint64_t id[2];
} Value;

/* --- growing: these return 0, or ENOMEM ------------------------------------------------------------------------- */

static int enlarge(Bytes *bytes, size_t size)
{
    size_t room = bytes->size + bytes->size / 2 + size + 4096;
    char *at = realloc(bytes->at, room);
    if (!at) return ENOMEM;
    bytes->at = at, bytes->room = room;
    return 0;
}

static inline char *more(Bytes *bytes, size_t size)
{
    if ((!bytes->at || bytes->room - bytes->size < size) && enlarge(bytes, size)) return NULL;
    bytes->size += size;
    return bytes->at + bytes->size - size;
}

/* Make room in empty bytes for more than `size`, in large pages where the system has them: it is read here and there. */
static int reserve(Bytes *bytes, size_t size)
{
    size_t room = (size / LARGE_PAGE + 1) * LARGE_PAGE;
    if (bytes->room >= room) return 0;
    free(bytes->at);
    *bytes = (Bytes){aligned_alloc(LARGE_PAGE, room), 0, room};
    if (!bytes->at) return ENOMEM;
#ifdef MADV_HUGEPAGE
    madvise(bytes->at, room, MADV_HUGEPAGE);
#endif
    return 0;
}

static inline int put(Bytes *bytes, const void *from, size_t size)
{
    char *at = more(bytes, size);
    if (!at) return ENOMEM;
    memcpy(at, from, size);
    return 0;
}

static int put_many(Bytes *bytes, int byte, size_t size)
{
    char *at = more(bytes, size);
    if (!at) return ENOMEM;
    memset(at, byte, size);
    return 0;
}

static int put_number(Bytes *bytes, uint64_t number) { return put(bytes, &number, sizeof number); }

static inline size_t write_varint(char *at, uint64_t number)
{
    size_t size = 0;
    for (; number > 127; number >>= 7) at[size++] = (char)(number | 128);
    at[size++] = (char)number;
    return size;
}

static int put_text(Bytes *bytes, Span text)
{
    char *at = more(bytes, VARINT_BYTES + text.size);
    if (!at) return ENOMEM;
    size_t head = write_varint(at, text.size);
    if (text.size) memcpy(at + head, text.at, text.size);
    bytes->size -= VARINT_BYTES - head;
    return 0;
}

static int is_same(Span one, Span other) { return one.size == other.size && !memcmp(one.at, other.at, one.size); }

static size_t hash_of(Span text)
{
    uint64_t hash = text.size, eight = 0;
    for (; text.size >= 8; text.at += 8, text.size -= 8) {
        memcpy(&eight, text.at, 8);
        hash = (hash ^ eight) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 32;
    }
    for (eight = 0; text.size; text.at++, text.size--) eight = eight << 8 | (uint8_t)*text.at;
    hash = (hash ^ eight) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 32;
}

static int make_room(Words *words)
{
    uint32_t room = words->room ? words->room * 4 : 64; /* a power of two, at most half of it taken */
    Span *known = realloc(words->known, room / 2 * sizeof *known);
    uint32_t *slots = calloc(room, sizeof *slots);
    if (known) words->known = known;
    if (!known || !slots) {
        free(slots);
        return ENOMEM;
    }
    for (uint32_t n = 0; n < words->many; n++) {
        size_t at = hash_of(known[n]);
        while (slots[at % room]) at++;
        slots[at % room] = n + 1;
    }
    free(words->slots);
    words->slots = slots, words->room = room;
    return 0;
}

/* Set `last` to a text's place among the known ones. */
static int find_word(Words *words, Span text)
{
    if (!text.at) text.at = "";
    if (words->many && is_same(words->known[words->last], text)) return 0;
    if (words->many * 2 >= words->room && make_room(words)) return ENOMEM;
    size_t at = hash_of(text);
    for (uint32_t slot; (slot = words->slots[at % words->room]); at++) {
        if (is_same(words->known[slot - 1], text)) {
            words->last = slot - 1;
            return 0;
        }
    }
    char *copy = malloc(text.size + 1);
    if (!copy) return ENOMEM;
    memcpy(copy, text.at, text.size);
    words->last = words->many++;
    words->known[words->last] = (Span){copy, text.size};
    words->slots[at % words->room] = words->many;
    return 0;
}

static int put_word(Words *words, Span text)
{
    return find_word(words, text) ? ENOMEM : put(&words->places, &words->last, sizeof words->last);
}

static int put_texts(Column *column, const Value *value, int is_pairs)
{
    const char *at = value->text.at, *end = at + value->text.size;
    int error = 0;
    for (int64_t n = 0; n < value->number << is_pairs; n++) {
        const char *mark = memchr(at + 1, '"', (size_t)(end - at - 1));
        Span text = {at + 1, (size_t)(mark - at - 1)};
        if (is_pairs) error |= put_text(n & 1 ? &column->values : &column->keys, text);
        else error |= put_word(&column->words, text);
        at = mark + 2;
    }
    column->many += (uint64_t)value->number;
    return error | put_number(&column->bytes, column->many);
}

static int put_value(Column *column, const Field *field, const Value *value)
{
    switch (field->kind) {
    case TEXT: return put_text(&column->bytes, value->text);
    case WORD: return put_word(&column->words, value->text);
    case WORDS: return put_texts(column, value, 0);
    case PAIRS: return put_texts(column, value, 1);
    case ID: return put(&column->bytes, value->id, sizeof value->id);
    case TIME: return put_number(&column->bytes, (uint64_t)value->number);
    case NUMBER: case FLAG: return put(&column->bytes, &value->number, field->width);
    default: return 0;
    }
}

static void forget_words(Words *words)
{
    for (uint32_t n = 0; n < words->many; n++) free((char *)words->known[n].at);
    if (words->slots) memset(words->slots, 0, words->room * sizeof *words->slots);
    words->many = words->last = 0;
    words->places.size = 0;
}

/* Leave a column empty, its memory for the next rows. */
static void empty_column(Column *column)
{
    forget_words(&column->words);
    column->bytes.size = column->keys.size = column->values.size = 0;
    column->many = 0;
}

static void free_column(Column *column)
{
    forget_words(&column->words);
    free(column->words.known), free(column->words.slots), free(column->words.places.at);
    free(column->bytes.at), free(column->keys.at), free(column->values.at);
}

/* --- writing: these return 0, or an error of the system --------------------------------------------------------- */

static int write_pieces(int file, struct iovec *pieces, int many)
{
    while (many) {
        ssize_t written = writev(file, pieces, many);
        if (written < 0 && errno != EINTR) return errno;
        for (size_t rest = written < 0 ? 0 : (size_t)written; many; pieces++, many--) {
            if (rest < pieces->iov_len) {
                pieces->iov_base = (char *)pieces->iov_base + rest;
                pieces->iov_len -= rest;
                break;
            }
            rest -= pieces->iov_len;
        }
    }
    return 0;
}

static int write_bytes(int file, const Bytes *bytes)
{
    return write_pieces(file, &(struct iovec){bytes->at, bytes->size}, 1);
}

static int write_head(int file, uint64_t columns, uint64_t rows)
{
    char text[2 * VARINT_BYTES];
    size_t size = write_varint(text, columns);
    size += write_varint(text + size, rows);
    return write_pieces(file, &(struct iovec){text, size}, 1);
}

static int write_title(int file, const char *name, const char *type)
{
    char sizes[2] = {(char)strlen(name), (char)strlen(type)}; /* below 128: a varint of one byte */
    struct iovec pieces[] = {{sizes, 1}, {(char *)name, strlen(name)}, {sizes + 1, 1}, {(char *)type, strlen(type)}};
    return write_pieces(file, pieces, 4);
}

/* What follows a column's version: the different texts, and the places in as few bytes as there are texts. */
static int write_words(int file, Words *words)
{
    size_t rows = words->places.size / sizeof(uint32_t);
    int width = words->many <= 256 ? 0 : words->many <= 65536 ? 1 : 2;
    if (!rows) return 0;
    for (size_t n = 0; n < rows; n++) { /* in place: what is written lies before what is read */
        uint32_t place;
        memcpy(&place, words->places.at + n * sizeof place, sizeof place);
        memcpy(words->places.at + (n << width), &place, (size_t)1 << width);
    }
    Bytes head = {0};
    int error = put_number(&head, (uint64_t)width | 1 << 9 | 1 << 10) | put_number(&head, words->many);
    for (uint32_t n = 0; n < words->many; n++) error |= put_text(&head, words->known[n]);
    error |= put_number(&head, rows);
    struct iovec pieces[] = {{head.at, head.size}, {words->places.at, rows << width}};
    if (!error) error = write_pieces(file, pieces, 2);
    free(head.at);
    return error;
}

static int write_column(int file, const Field *field, Column *column)
{
    uint64_t version = 1;
    int error = write_title(file, field->name, field->type);
    if (!error && (field->kind == WORD || field->kind == WORDS)) {
        error = write_pieces(file, &(struct iovec){&version, sizeof version}, 1);
    }
    if (!error) error = write_bytes(file, &column->bytes);
    if (!error) error = write_words(file, &column->words);
    if (!error) error = write_bytes(file, &column->keys);
    return error ? error : write_bytes(file, &column->values);
}
