/* Journal lines, taken apart into the columns of the loader's table `staged`; the twin is in events/staging.py.
 *
 * What is read here is what an edge writes of traffic: a checksum that is right, and a leaf with its fields in their
 * order, nothing escaped, numbers in their range. Any other line is passed on as it is: SQL alone says what it means.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "columns.h"
#include "crc32.h"
#include "hashes.h"
#include "leaf.h"

enum { CRC_DIGITS = 8, TYPES_MANY = 4, NOT_READ = TYPES_MANY };
static const Span TYPES[TYPES_MANY] = { /* sorted */
    TEXT_OF("click"), TEXT_OF("identify"), TEXT_OF("pageview"), TEXT_OF("session"),
};

typedef struct {
    Span name;
    int file;
} Segment;

typedef struct {
    Span whole, leaf, kept, expiring, segment;
    const char *body; /* of the leaf: behind the journal's position */
    uint64_t seq;
    int64_t occurred_ms;
    uint32_t organization, type;
} Line;

/* What isn't a field behind the journal's position. `quarantine_reason` is empty: a text of no bytes is a zero. */
enum { SEGMENT, SIZE, LEAF_HASH, ORGANIZATION, SEQ, IS_GOOD, IS_TOO_NEW, REASON, LEAF, KEPT, EXPIRING, OTHERS_MANY };
static const Field OTHERS[OTHERS_MANY] = {
    FIELD(file, A_WORD), FIELD(size, NUMBER, "UInt64", 8), FIELD(leaf_hash, TEXT, "FixedString(32)"),
    FIELD(organization_id, A_WORD), FIELD(seq, NUMBER, "UInt64", 8), FIELD(is_good, A_FLAG), FIELD(is_too_new, A_FLAG),
    FIELD(quarantine_reason, A_TEXT), FIELD(leaf, A_TEXT), FIELD(kept, A_TEXT), FIELD(expiring, A_TEXT),
};

typedef struct {
    const Segment *segments;
    Py_ssize_t segments_many;
    Bytes contents; /* of all segments, one behind the other */
    Bytes start, node; /* of a leaf: what stands before its organization, and what behind */
    Bytes lines;       /* of Line: all that aren't empty */
    Bytes rows, odd;   /* of Line *: traffic, in the order of the table `events`; and what isn't read */
    size_t read;
    Column others[OTHERS_MANY], columns[FIELDS_MANY];
} Work;

/* --- splitting and checking ------------------------------------------------------------------------------------- */

static int is_whole(Span line)
{
    if (line.size <= CRC_DIGITS || line.at[CRC_DIGITS] != '\t') return 0;
    uint32_t found = ~checksum(~0u, (const uint8_t *)line.at + CRC_DIGITS + 1, line.size - CRC_DIGITS - 1);
    for (int i = CRC_DIGITS; i--; found >>= 4) {
        if (line.at[i] != "0123456789abcdef"[found & 15]) return 0;
    }
    return 1;
}

static int part_columns(Line *line)
{
    const char *at = line->whole.at + CRC_DIGITS + 1, *end = line->whole.at + line->whole.size;
    const char *tab = memchr(at, '\t', (size_t)(end - at));
    const char *middle = tab ? memchr(tab + 1, '\t', (size_t)(end - tab - 1)) : NULL;
    if (!middle) return 0;
    line->leaf = (Span){at, (size_t)(tab - at)};
    line->kept = (Span){tab + 1, (size_t)(middle - tab - 1)};
    line->expiring = (Span){middle + 1, (size_t)(end - middle - 1)};
    return 1;
}

static int skip(const char **at, const char *end, Span text)
{
    if ((size_t)(end - *at) < text.size || memcmp(*at, text.at, text.size)) return 0;
    *at += text.size;
    return 1;
}

/* The text up to a quotation mark; an empty one where something is escaped or isn't ASCII. */
static Span skip_text(const char **at, const char *end)
{
    int is_ascii = 1;
    const char *mark = text_end(*at, end, &is_ascii);
    Span text = {*at, mark && is_ascii ? (size_t)(mark - *at) : 0};
    *at += text.size;
    return text;
}

/* Find what a line's place in the table depends on; returns whether it seems to be traffic of this node. */
static int read_position(const Work *work, Line *line, Span *organization)
{
    const char *at = line->leaf.at, *end = at + line->leaf.size;
    int64_t seq;
    if (!skip(&at, end, (Span){work->start.at, work->start.size})) return 0;
    *organization = skip_text(&at, end);
    if (!organization->size || !skip(&at, end, (Span){work->node.at, work->node.size})) return 0;
    if (!(at = read_number(at, INT64_MAX, &seq)) || seq <= 0 || *at++ != ',') return 0;
    line->seq = (uint64_t)seq;
    line->body = at;
    if (!skip(&at, end, TEXT_OF("\"event_id\":\"")) || end - at < ID_DIGITS) return 0;
    at += ID_DIGITS;
    if (!skip(&at, end, TEXT_OF("\",\"event_type\":\""))) return 0;
    Span type = skip_text(&at, end);
    for (line->type = 0; line->type < TYPES_MANY && !is_same(TYPES[line->type], type);) line->type++;
    if (!skip(&at, end, TEXT_OF("\",\"occurred_at\":\"")) || end - at < TIME_DIGITS) return 0;
    line->occurred_ms = read_time(at);
    return line->type < TYPES_MANY && line->occurred_ms >= 0;
}

static int split(Work *work, Span segment, Span content)
{
    Words *organizations = &work->others[ORGANIZATION].words;
    const char *at = content.at, *end = at + content.size, *feed;
    int error = 0;
    for (; at < end && !error; at = feed + 1) {
        if (!(feed = memchr(at, '\n', (size_t)(end - at)))) feed = end;
        if (feed == at) continue;
        Line line = {.whole = {at, (size_t)(feed - at)}, .segment = segment};
        Span organization;
        if (is_whole(line.whole) && part_columns(&line) && read_position(work, &line, &organization)) {
            error = find_word(organizations, organization);
            line.organization = organizations->last;
        } else {
            line.type = NOT_READ;
        }
        error |= put(&work->lines, &line, sizeof line);
    }
    return error;
}

/* --- sorting: the engine then finds the rows in their order, and moves nothing ----------------------------------- */

typedef struct {
    Span name;
    uint32_t place;
} Named;

static int by_name(const void *one, const void *other)
{
    Span a = ((const Named *)one)->name, b = ((const Named *)other)->name;
    int order = memcmp(a.at, b.at, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int by_time(const void *one, const void *other)
{
    const Line *a = *(Line *const *)one, *b = *(Line *const *)other;
    if (a->occurred_ms != b->occurred_ms) return a->occurred_ms < b->occurred_ms ? -1 : 1;
    return (a->seq > b->seq) - (a->seq < b->seq);
}

/* Return where the lines of each organization and type begin, organizations by their names; NULL without memory. */
static size_t *part_groups(const Work *work)
{
    const Words *names = &work->others[ORGANIZATION].words;
    Named *named = calloc(names->many + 1, sizeof *named);
    size_t *groups = calloc((names->many + 1) * TYPES_MANY, sizeof *groups), before = 0;
    for (size_t at = 0; at < work->lines.size && groups; at += sizeof(Line)) {
        const Line *line = (Line *)(work->lines.at + at);
        if (line->type != NOT_READ) groups[line->organization * TYPES_MANY + line->type]++;
    }
    for (uint32_t n = 0; n < names->many && named; n++) named[n] = (Named){names->known[n], n};
    if (named) qsort(named, names->many, sizeof *named, by_name);
    for (uint32_t n = 0; n < names->many * TYPES_MANY && named && groups; n++) {
        size_t *group = groups + named[n / TYPES_MANY].place * TYPES_MANY + n % TYPES_MANY, size = *group;
        *group = before;
        before += size;
    }
    if (!named) free(groups), groups = NULL;
    free(named);
    return groups;
}

/* Put the lines in the order of `events`: organization, type, time. Mostly only the groups have to be parted. */
static int sort(Work *work)
{
    size_t *groups = part_groups(work), many = 0;
    Line **rows = (Line **)more(&work->rows, work->lines.size / sizeof(Line) * sizeof *rows);
    int error = groups && rows ? 0 : ENOMEM;
    for (size_t at = 0; at < work->lines.size && !error; at += sizeof(Line)) {
        Line *line = (Line *)(work->lines.at + at);
        if (line->type == NOT_READ) error = put(&work->odd, &line, sizeof line);
        else rows[groups[line->organization * TYPES_MANY + line->type]++] = line, many++;
    }
    work->rows.size = many * sizeof *rows;
    for (size_t first = 0, last; first < many && !error; first = last) {
        int is_sorted = 1;
        for (last = first + 1; last < many; last++) {
            if (rows[last]->organization != rows[first]->organization || rows[last]->type != rows[first]->type) break;
            is_sorted &= by_time(rows + last - 1, rows + last) <= 0;
        }
        if (!is_sorted) qsort(rows + first, last - first, sizeof *rows, by_time);
    }
    free(groups);
    return error;
}

/* --- reading the leaves ----------------------------------------------------------------------------------------- */

static int put_others(Column *others, const Line *line)
{
    return put_word(&others[SEGMENT].words, line->segment) | put_number(&others[SIZE].bytes, line->whole.size)
        | put(&others[ORGANIZATION].words.places, &line->organization, sizeof line->organization)
        | put_number(&others[SEQ].bytes, line->seq) | put_text(&others[LEAF].bytes, line->leaf)
        | put_text(&others[KEPT].bytes, line->kept) | put_text(&others[EXPIRING].bytes, line->expiring);
}

static int put_hashes(Bytes *hashes, Span *leaves, int many)
{
    char *at = more(hashes, (size_t)many * HASH_BYTES);
    if (!at) return ENOMEM;
    hash_leaves(leaves, many, (uint8_t *)at);
    return 0;
}

/* Neighbours in the table lie far apart in the segments: ask for the next line while this one is read. */
static void fetch(const Bytes *rows, size_t at)
{
    const Line *const *next = (const Line *const *)(rows->at + at) + 1;
    const Line *const *end = (const Line *const *)(rows->at + rows->size);
    if (next + 3 < end) __builtin_prefetch(next[3]), __builtin_prefetch((const char *)(next[3] + 1) - 1);
    for (size_t n = 0; next < end && n < (*next)->whole.size; n += 64) __builtin_prefetch((*next)->whole.at + n);
}

static int reserve_texts(Work *work)
{
    size_t sizes[3] = {0};
    for (size_t at = 0; at < work->rows.size; at += sizeof(Line *)) {
        const Line *line = *(Line **)(work->rows.at + at);
        sizes[0] += VARINT_BYTES + line->leaf.size;
        sizes[1] += VARINT_BYTES + line->kept.size;
        sizes[2] += VARINT_BYTES + line->expiring.size;
    }
    return reserve(&work->others[LEAF].bytes, sizes[0]) | reserve(&work->others[KEPT].bytes, sizes[1])
        | reserve(&work->others[EXPIRING].bytes, sizes[2]);
}

/* Fill the columns. */
static int read_leaves(Work *work)
{
    Line *const *rows = (Line *const *)work->rows.at;
    Bytes *hashes = &work->others[LEAF_HASH].bytes;
    Span leaves[2];
    size_t read = 0;
    int error = reserve_texts(work);
    for (size_t at = 0; at < work->rows.size && !error; at += sizeof *rows) {
        const Line *line = rows[at / sizeof *rows];
        Value values[FIELDS_MANY];
        fetch(&work->rows, at);
        int is_read = read_fields(line->body, line->leaf, values);
        if (!is_read || !(values[EVENT_ID].id[0] | values[EVENT_ID].id[1]) || values[RECEIVED_AT].number <= 0) {
            error = put(&work->odd, &line, sizeof line);
            continue;
        }
        for (int n = 0; n < FIELDS_MANY; n++) error |= put_value(work->columns + n, FIELDS + n, values + n);
        error |= put_others(work->others, line);
        leaves[read % 2] = line->leaf;
        if (read % 2) error |= put_hashes(hashes, leaves, 2);
        read++;
    }
    if (read % 2) error |= put_hashes(hashes, leaves, 1);
    work->read = read;
    return error | put_many(&work->others[IS_GOOD].bytes, 1, read) | put_many(&work->others[IS_TOO_NEW].bytes, 0, read)
        | put_many(&work->others[REASON].bytes, 0, read);
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static int write_odd(int file, const Bytes *odd)
{
    static const Field fields[] = {FIELD(name, A_TEXT), FIELD(content, A_TEXT)};
    Column columns[2] = {0};
    int error = 0;
    for (size_t at = 0; at < odd->size && !error; at += sizeof(Line *)) {
        const Line *line = *(Line **)(odd->at + at);
        error = put_text(&columns[0].bytes, line->segment) | put_text(&columns[1].bytes, line->whole);
    }
    if (!error) error = write_head(file, 2, odd->size / sizeof(Line *));
    for (int n = 0; n < 2 && !error; n++) error = write_column(file, fields + n, columns + n);
    for (int n = 0; n < 2; n++) free_column(columns + n);
    return error;
}

static int write_rows(int file, Work *work)
{
    uint64_t columns = OTHERS_MANY;
    for (int n = 0; n < FIELDS_MANY; n++) columns += FIELDS[n].type != NULL;
    int error = write_head(file, columns, work->read);
    for (int n = 0; n < OTHERS_MANY && !error; n++) error = write_column(file, OTHERS + n, work->others + n);
    for (int n = 0; n < FIELDS_MANY && !error; n++) {
        if (FIELDS[n].type) error = write_column(file, FIELDS + n, work->columns + n);
    }
    return error;
}

/* --- the whole of it -------------------------------------------------------------------------------------------- */

static int prepare(Work *work, Span node, int version)
{
    char text[64];
    int size = snprintf(text, sizeof text, "{\"schema_version\":%d,\"organization_id\":\"", version);
    int error = put(&work->start, text, (size_t)size) | put(&work->node, "\",\"node\":\"", 10)
        | put(&work->node, node.at, node.size) | put(&work->node, "\",\"seq\":", 8);
    if (error) return error;
    const char *at = work->node.at + 10;
    if (skip_text(&at, at + node.size + 1).size != node.size) work->start.at[0] = '\n'; /* no leaf begins so: none is read */
    return 0;
}

static int sizes_of(const Work *work, size_t *size)
{
    struct stat about;
    *size = 0;
    for (Py_ssize_t n = 0; n < work->segments_many; n++) {
        if (fstat(work->segments[n].file, &about) < 0) return errno;
        *size += (size_t)about.st_size;
    }
    return 0;
}

/* Read a segment behind those before; at its end, as at theirs, a byte may be read that is none of a line's. */
static int read_segment(Bytes *contents, int file, Span *content)
{
    *content = (Span){contents->at + contents->size, 0};
    for (;;) {
        ssize_t many = pread(file, contents->at + contents->size, contents->room - contents->size, (off_t)content->size);
        if (!many) return 0;
        if (many < 0 && errno != EINTR) return errno;
        if (many > 0) contents->size += (size_t)many, content->size += (size_t)many;
    }
}

static int take(Work *work, Span node, int version, int staged, int odd)
{
    size_t size = 0;
    int error = prepare(work, node, version) | sizes_of(work, &size);
    if (!error) error = reserve(&work->contents, size);
    for (Py_ssize_t n = 0; n < work->segments_many && !error; n++) {
        Span content;
        error = read_segment(&work->contents, work->segments[n].file, &content);
        if (!error) error = split(work, work->segments[n].name, content);
    }
    if (!error) error = sort(work);
    if (!error) error = read_leaves(work);
    if (!error && work->odd.size) error = write_odd(odd, &work->odd);
    return !error && work->read ? write_rows(staged, work) : error;
}

static void empty(Work *work)
{
    Bytes *all[] = {&work->contents, &work->start, &work->node, &work->lines, &work->rows, &work->odd};
    for (size_t n = 0; n < sizeof all / sizeof *all; n++) all[n]->size = 0;
    work->read = 0;
    for (int n = 0; n < OTHERS_MANY; n++) empty_column(work->others + n);
    for (int n = 0; n < FIELDS_MANY; n++) empty_column(work->columns + n);
}

static void let_go(Work *work)
{
    Bytes *all[] = {&work->contents, &work->start, &work->node, &work->lines, &work->rows, &work->odd};
    for (size_t n = 0; n < sizeof all / sizeof *all; n++) free(all[n]->at);
    for (int n = 0; n < OTHERS_MANY; n++) free_column(work->others + n);
    for (int n = 0; n < FIELDS_MANY; n++) free_column(work->columns + n);
    free(work);
}

/* --- the module ------------------------------------------------------------------------------------------------- */

static Segment *read_pairs(PyObject *pairs)
{
    Py_ssize_t many = PyTuple_GET_SIZE(pairs);
    Segment *segments = calloc((size_t)many + 1, sizeof *segments);
    if (!segments) PyErr_NoMemory();
    for (Py_ssize_t n = 0; n < many && segments; n++) {
        PyObject *pair = PyTuple_GET_ITEM(pairs, n);
        Py_ssize_t size;
        if (!PyTuple_Check(pair)) PyErr_SetString(PyExc_TypeError, "a segment is its name and its file");
        else if (PyArg_ParseTuple(pair, "y#i", &segments[n].name.at, &size, &segments[n].file)) {
            segments[n].name.size = (size_t)size;
            continue;
        }
        free(segments);
        segments = NULL;
    }
    return segments;
}

/* The memory of a turn stays for the next, while they are large: it would be given back and asked for in vain. */
static Work *idle;

static void put_aside(Work *work)
{
    int is_large = work->contents.size >= work->contents.room / 4;
    empty(work);
    if (idle || !is_large) let_go(work);
    else idle = work;
}

/* Arguments: node, schema version, segments as pairs of name and file, the file for rows of `staged`, the one for odd
 * lines. */
static PyObject *take_apart(PyObject *module, PyObject *given)
{
    Span node;
    Py_ssize_t size;
    int version, staged, odd, error;
    PyObject *pairs;
    if (!PyArg_ParseTuple(given, "y#iO!ii", &node.at, &size, &version, &PyTuple_Type, &pairs, &staged, &odd)) return NULL;
    node.size = (size_t)size;
    Segment *segments = read_pairs(pairs);
    Work *work = idle ? idle : calloc(1, sizeof *work);
    idle = NULL;
    if (!segments || !work) {
        free(segments);
        if (work) let_go(work);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    work->segments = segments;
    work->segments_many = PyTuple_GET_SIZE(pairs);
    Py_BEGIN_ALLOW_THREADS
    error = take(work, node, version, staged, odd);
    Py_END_ALLOW_THREADS
    put_aside(work);
    free(segments);
    errno = error;
    if (error) return error == ENOMEM ? PyErr_NoMemory() : PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* root_of(hashes): of leaf hashes, one behind the other. */
static PyObject *root_of(PyObject *module, PyObject *hashes)
{
    char *at;
    Py_ssize_t size;
    uint8_t digest[HASH_BYTES];
    if (PyBytes_AsStringAndSize(hashes, &at, &size) < 0) return NULL;
    if (size % HASH_BYTES) return PyErr_Format(PyExc_ValueError, "a hash has %d bytes", HASH_BYTES);
    uint8_t *level = malloc((size_t)size + 1);
    if (!level) return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    memcpy(level, at, (size_t)size);
    for (size_t many = (size_t)size / HASH_BYTES; many > 1;) many = hash_level(level, many);
    Hash hash;
    begin(&hash);
    if (size) memcpy(digest, level, HASH_BYTES);
    else finish(&hash, digest);
    free(level);
    Py_END_ALLOW_THREADS
    return PyBytes_FromStringAndSize((char *)digest, HASH_BYTES);
}

/* Take the processor's own instructions where it has them, or do without: the tests try both ways. */
static void choose(int is_portable)
{
    checksum = is_portable ? checksum_portably : best_checksum();
    compress = is_portable ? compress_portably : best_compress();
    compress_two = is_portable ? compress_two_portably : best_compress_two();
}

static PyObject *be_portable(PyObject *module, PyObject *is_portable)
{
    choose(is_portable == Py_True);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"take_apart", take_apart, METH_VARARGS, NULL},
    {"root_of", root_of, METH_O, NULL},
    {"be_portable", be_portable, METH_O, NULL},
    {NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_lines", NULL, -1, functions};

PyMODINIT_FUNC PyInit__lines(void)
{
    make_crc_tables();
    make_nibbles();
    choose(0);
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddStringConstant(module, "SOURCES", SOURCES) < 0) Py_CLEAR(module);
    return module;
}
