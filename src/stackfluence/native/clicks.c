/* What the edge does with every click and event, in C: each function here, and each Python function in the headers beside
 * it, has a twin in Python that says what it does, marked `@compiled` where it stands, and gives the same bytes. `build`
 * compiles this file; nothing fails without it.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <time.h>

#include "spans.h"

#include "crc32.h"
#include "ids.h"

#include "heads.h"
#include "parameters.h"

#define SALT_BYTES 16
#define TAIL_BYTES 10 /* of a UUIDv7, after its time */
#define DAY_MS 86400000
#define MIDNIGHT_MS 1800000 /* as in visitor.py */

enum {
    NOW, BEFORE, HEAVY_BEFORE, ALARM, LIMIT, BIT, PEAKS, WINDOWS, MOST, STARTS_MS, ENDS_MS, CLICKS, LITTER,
    FORWARDED, HOST, EVIDENCE, IS_OPTED_OUT, LEAF, EXPIRING, USER_AGENT, VERDICTS, VERSIONS, IS_STALE, OPENS_MS, CLOSES_MS,
    ORGANIZATION, LINK_ID, OWN_NAMES, TEXTS_OF, CACHE, FIND, MEMBERS, NAMES
};
static PyObject *names[NAMES]; /* of attributes */

/* What `click_event` takes between its first argument and its last. */
enum { AT, DRAWN, LINK, JUDGED, OF_HEAD, PERSONAL, TODAY, DAY_BEFORE, PREFIX, PARTS };

static const Span nothing = {"", 0};

/* `landing` and `identifiers` go behind what the head says in leaf and personal part. */
static PyObject *make_event(long long at_ms, const Span *a, Span landing, Span identifiers, int is_opted_out)
{
    int has_before = a[DAY_BEFORE].size > 0;
    if (at_ms < 0 || at_ms >> 48 || a[DRAWN].size != SALT_BYTES + TAIL_BYTES) {
        return PyErr_Format(PyExc_ValueError, "no time of a UUIDv7, or another number of random bytes");
    }
    const uint8_t *drawn = (const uint8_t *)a[DRAWN].at;
    uint8_t event[16];
    char salt[2 * SALT_BYTES], id[36], commitment[64];
    put_hex(drawn, SALT_BYTES, salt);
    for (int i = 0; i < 6; i++) event[i] = (uint8_t)(at_ms >> (40 - 8 * i));
    memcpy(event + 6, drawn + SALT_BYTES, TAIL_BYTES);
    event[6] = 0x70 | (event[6] & 0x0f);
    event[8] = 0x80 | (event[8] & 0x3f);
    put_uuid(event, id);
    const Span personal[] = {
        TEXT("\t{\"salt\":\""), ARRAY(salt), TEXT("\","), a[PERSONAL], identifiers,
        is_opted_out ? nothing : TEXT(",\"ip_prefix\":\""), is_opted_out ? nothing : a[PREFIX],
        is_opted_out ? TEXT("}") : TEXT("\"}"),
    };
    PyObject *half = joined(personal, MANY(personal));
    if (!half) return NULL;
    put_commitment(nothing, (Span){PyBytes_AS_STRING(half) + 1, PyBytes_GET_SIZE(half) - 1}, commitment);
    const Span body[] = {
        TEXT("\"event_id\":\""), ARRAY(id), TEXT("\",\"event_type\":\"click\",\"occurred_at\":\""), a[AT],
        TEXT("\",\"received_at\":\""), a[AT], TEXT("\",\"click_id\":\""), ARRAY(id), TEXT("\","), a[LINK], TEXT(","),
        a[JUDGED], a[OF_HEAD], landing, is_opted_out ? nothing : TEXT("\"visitor_hash\":\""), is_opted_out ? nothing : a[TODAY],
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
    return make_event(at_ms, a, nothing, nothing, given[PARTS + 1] == Py_True);
}

/* What stands in a line, but its checksum, between bytes and numbers that are its own. */
enum { ORGANIZATION_ID, BODY, OF_PERSON, OF_LINE };
enum { MANY_PIECES = 11 };

static void cut_line(const Span *a, Span node, Span number, Span pieces[MANY_PIECES])
{
    const Span line[MANY_PIECES] = {
        TEXT("00000000\t{\"schema_version\":1,\"organization_id\":\""), a[ORGANIZATION_ID], TEXT("\",\"node\":\""), node,
        TEXT("\",\"seq\":"), number, TEXT(","), a[BODY], TEXT("\t"), a[OF_PERSON], TEXT("\n"),
    };
    memcpy(pieces, line, sizeof line);
}

/* An entry's three parts and its number; -1 with an exception. */
static int read_entry(PyObject *entry, long long seq, Span parts[OF_LINE], char text[24], Span *number)
{
    if (!PyTuple_CheckExact(entry) || PyTuple_GET_SIZE(entry) < OF_LINE) {
        PyErr_SetString(PyExc_TypeError, "an entry is a tuple of organization, body and personal part");
        return -1;
    }
    *number = (Span){text, snprintf(text, 24, "%lld", seq)};
    return read_spans(&PyTuple_GET_ITEM(entry, 0), OF_LINE, "bbb", parts);
}

/* Arguments: node, number of the first, entries. */
static PyObject *join_lines(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span node, number, parts[OF_LINE], pieces[MANY_PIECES];
    char text[24];
    if (many != 3 || !PyList_CheckExact(given[2])) return PyErr_Format(PyExc_TypeError, "a node, a number and a list");
    long long first = PyLong_AsLongLong(given[1]);
    if ((first == -1 && PyErr_Occurred()) || read_spans(given, 1, "b", &node) < 0) return NULL;
    Py_ssize_t lines = PyList_GET_SIZE(given[2]), size = 0;
    for (Py_ssize_t n = 0; n < lines; n++) {
        if (read_entry(PyList_GET_ITEM(given[2], n), first + n, parts, text, &number) < 0) return NULL;
        cut_line(parts, node, number, pieces);
        for (int i = 0; i < MANY_PIECES; i++) size += pieces[i].size; /* they are in memory: their sum is no overflow */
    }
    PyObject *whole = PyBytes_FromStringAndSize(NULL, size);
    if (!whole) return NULL;
    char *at = PyBytes_AS_STRING(whole);
    for (Py_ssize_t n = 0; n < lines; n++) {
        if (read_entry(PyList_GET_ITEM(given[2], n), first + n, parts, text, &number) < 0) Py_CLEAR(whole);
        if (!whole) return NULL;
        cut_line(parts, node, number, pieces);
        char *start = at;
        for (int i = 0; i < MANY_PIECES; at += pieces[i++].size) memcpy(at, pieces[i].at, (size_t)pieces[i].size);
        uint32_t crc = ~checksum(~0u, (uint8_t *)start + 9, (size_t)(at - start) - 10);
        put_hex((uint8_t[]){(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc}, 4, start);
    }
    return whole;
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

static PyObject *find_post(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span message, body, forwarded;
    if (many != 2 || !PyDict_CheckExact(given[0])) return PyErr_Format(PyExc_TypeError, "a dict and a message");
    if (read_spans(given + 1, 1, "b", &message) < 0) return NULL;
    PyObject *post = known_post(given[0], message, &body, &forwarded);
    if (!post && PyErr_Occurred()) return NULL;
    if (!post) Py_RETURN_NONE;
    Py_INCREF(post);
    PyObject *from = forwarded.size ? joined(&forwarded, 1) : PyObject_GetAttr(post, names[FORWARDED]);
    PyObject *said = joined(&body, 1);
    PyObject *found = from && said ? PyTuple_Pack(3, post, from, said) : NULL;
    Py_DECREF(post);
    Py_XDECREF(from);
    Py_XDECREF(said);
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

/* Where types with slots keep an attribute, 0 for types without; each name is one of at most two types. */
typedef struct {
    PyTypeObject *type;
    Py_ssize_t offset;
} Slot;
static Slot slots[NAMES][2];

static void learn_slot(PyTypeObject *type, int name)
{
    Slot *slot = &slots[name][slots[name][0].type != NULL];
    if (slot->type) return;
    *slot = (Slot){(PyTypeObject *)Py_NewRef(type), 0};
    PyObject *found = PyObject_GetAttr((PyObject *)type, names[name]);
    if (found && Py_IS_TYPE(found, &PyMemberDescr_Type) && PyType_IsSubtype(type, PyDescr_TYPE(found))) {
        const PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
        if (member->type == T_OBJECT_EX) slot->offset = member->offset;
    }
    Py_XDECREF(found);
    PyErr_Clear();
}

/* An attribute, read where the type's slot has it. */
static PyObject *attribute(PyObject *object, int name)
{
    for (int i = 0; i < 2; i++) {
        if (Py_TYPE(object) != slots[name][i].type) continue;
        Py_ssize_t offset = slots[name][i].offset;
        PyObject *value = offset ? *(PyObject **)((char *)object + offset) : NULL;
        return value ? Py_NewRef(value) : PyObject_GetAttr(object, names[name]);
    }
    PyObject *value = PyObject_GetAttr(object, names[name]);
    if (value) learn_slot(Py_TYPE(object), name);
    return value;
}

static PyObject *get(Holder *holder, PyObject *object, int name)
{
    return object ? hold(holder, attribute(object, name)) : NULL;
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

static long long number_of(PyObject *object, int name)
{
    PyObject *number = attribute(object, name);
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

static int look(Holder *holder, PyObject *window, PyObject *key, long long most, int is_pair, Tally *tally)
{
    PyObject *heavy = counted(holder, window, HEAVY_BEFORE);
    tally->counts = counted(holder, window, NOW);
    if (!heavy || !tally->counts || (tally->seen = seen_in(tally->counts, key)) < 0) return -1;
    int is_heavy = PySet_GET_SIZE(heavy) ? PySet_Contains(heavy, key) : 0;
    if (is_heavy < 0) return -1;
    tally->is_unusual = !tally->seen && PyDict_GET_SIZE(tally->counts) >= most;
    if (is_pair) { /* velocity's first bit: a possible duplicate, which others may know of */
        PyObject *before = tally->seen ? NULL : counted(holder, window, BEFORE);
        tally->bits = tally->seen || (before && PyDict_GET_SIZE(before) && PyDict_Contains(before, key) > 0);
        tally->is_unusual |= number_of(window, PEAKS) > 0;
    }
    if (is_heavy || tally->seen >= number_of(window, ALARM)) {
        tally->bits |= (int)number_of(window, BIT);
        tally->is_unusual |= tally->seen < number_of(window, LIMIT);
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
        if (look(holder, window, keys[i], i == EVERYTHING ? LLONG_MAX : most, i == PAIRS, &tallies[i])) return -2;
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
    return 0;
}

/* As `pair_of`; empty for who opted out, whose visits are nobody's. */
static PyObject *pair_of(Holder *holder, PyObject *link, PyObject *visitor)
{
    Span of_visitor, said[] = {nothing, {"", 1}, nothing};
    if (!link || !visitor || read_spans(&link, 1, "b", said) < 0 || read_spans(&visitor, 1, "s", &of_visitor) < 0) return NULL;
    said[2] = of_visitor;
    return of_visitor.size ? hold(holder, joined(said, MANY(said))) : visitor;
}

static PyObject *count_usual(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Tally tallies[ALL_WINDOWS] = {{0}};
    if (many != 6) return PyErr_Format(PyExc_TypeError, "six arguments are needed");
    long long most = PyLong_AsLongLong(given[5]);
    if (most == -1 && PyErr_Occurred()) return NULL;
    Holder holder = {{0}, 0};
    PyObject *const keys[ALL_WINDOWS] = {given[3], pair_of(&holder, given[2], given[3]), given[4], given[2], given[1]};
    int bits = keys[PAIRS] ? look_everywhere(&holder, given[0], keys, most, tallies) : -2;
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
enum {
    PATHS, SALTS, ORGANIZATIONS, VELOCITY, JUDGE, PLACES, STAMP, RANDOM_BYTES, RFC3339, REASONS, DRAWN_BYTES, LANDING,
    VISITOR_BEHIND, KIT
};

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

/* A click while it is taken. `address` and `prefix` are the visitor's. */
typedef struct {
    PyObject *head, *link, *address, *prefix;
    Span query;
    int is_opted_out;
} Click;

/* Whom a click is of: of the connection's address, or behind proxies of another. 0 when Python should find out. */
static int find_visitor(Holder *holder, PyObject *const *kit, Span forwarded, Click *click)
{
    PyObject *said = get(holder, click->head, FORWARDED);
    if (!said) return 0;
    if (forwarded.size) said = hold(holder, joined(&forwarded, 1));
    if (!said || !PyObject_IsTrue(said)) return said != NULL;
    PyObject *found = hold(holder, PyObject_CallFunctionObjArgs(kit[VISITOR_BEHIND], click->address, said, NULL));
    if (!found || found == Py_None) return 0;
    if (!PyTuple_CheckExact(found) || PyTuple_GET_SIZE(found) != 2) {
        PyErr_SetString(PyExc_TypeError, "a visitor is an address and its prefix");
        return 0;
    }
    click->address = PyTuple_GET_ITEM(found, 0);
    click->prefix = PyTuple_GET_ITEM(found, 1);
    return 1;
}

/* What `pack_texts` packs of a link. */
enum { OF_ID, MIDDLE, LINK_LEAF, IN_FRONT, BEHIND, TEXTS };

static int read_texts(Span packed, Span texts[TEXTS])
{
    uint32_t sizes[3];
    enum { START = 28 };
    if (packed.size >= START) {
        memcpy(sizes, packed.at + 16, sizeof sizes);
        texts[OF_ID] = (Span){packed.at, 2};
        texts[MIDDLE] = (Span){packed.at + 2, 12};
        const char *at = packed.at + START;
        for (int i = 0; i < 3; at += sizes[i++]) texts[LINK_LEAF + i] = (Span){at, sizes[i]};
        if ((Py_ssize_t)sizes[0] + sizes[1] + sizes[2] == packed.size - START) return 0;
    }
    PyErr_SetString(PyExc_ValueError, "no packed texts of a link");
    return -1;
}

/* Head, link, parameters and visitor of a usual click. */
static int find_all(Holder *holder, PyObject *const *given, Span message, Click *click, Parameters *parameters)
{
    PyObject *const *kit = &PyTuple_GET_ITEM(given[0], 0);
    Span target, forwarded, host;
    click->head = known_head(given[1], message, &target, &forwarded);
    if (!click->head) return 0;
    hold(holder, Py_NewRef(click->head));
    PyObject *named = get(holder, click->head, HOST), *opted_out = get(holder, click->head, IS_OPTED_OUT);
    if (!named || !opted_out || read_spans(&named, 1, "b", &host) < 0) return 0;
    click->is_opted_out = opted_out == Py_True;
    const char *mark = memchr(target.at, '?', (size_t)target.size);
    if (mark) {
        click->query = (Span){mark + 1, target.at + target.size - mark - 1};
        target.size = mark - target.at;
    }
    const Span path[] = {target, TEXT(" "), host};
    click->link = item(holder, kit[PATHS], hold(holder, joined(path, MANY(path))));
    if (!click->link || get(holder, click->link, IS_STALE) != Py_False) return 0;
    if (click->query.size) {
        PyObject *own_names = get(holder, click->link, OWN_NAMES);
        if (!own_names || read_parameters(parameters, click->query, kit[LANDING], own_names) <= 0) return 0;
    }
    return find_visitor(holder, kit, forwarded, click);
}

/* An organization's windows at a time, and how many keys each may have; NULL when Python should bring them there. */
static PyObject *windows_at(Holder *holder, PyObject *counts, long long now_ms, long long *most)
{
    if (!counts) return NULL;
    long long starts_ms = number_of(counts, STARTS_MS), ends_ms = number_of(counts, ENDS_MS);
    *most = number_of(counts, MOST);
    return starts_ms <= now_ms && now_ms < ends_ms && !PyErr_Occurred() ? get(holder, counts, WINDOWS) : NULL;
}

/* The members that the judge has for a header set, a network and some reasons: those it remembers, else new ones. */
static PyObject *verdict(Holder *holder, PyObject *judge, PyObject *evidence, PyObject *place, PyObject *reasons)
{
    PyObject *verdicts = get(holder, evidence, VERDICTS);
    if (!verdicts || !place || !reasons) return NULL;
    if (verdicts != Py_None && get(holder, verdicts, VERSIONS) == get(holder, judge, VERSIONS)) {
        PyObject *members = item(holder, verdicts, hold(holder, PyTuple_Pack(2, place, reasons)));
        if (members || PyErr_Occurred()) return members;
    }
    return hold(holder, PyObject_CallMethodObjArgs(judge, names[MEMBERS], evidence, place, reasons, NULL));
}

/* Where an address is, from the memory of those asked for last, else from the tables. */
static PyObject *place_of(Holder *holder, PyObject *places, PyObject *address)
{
    PyObject *known = item(holder, get(holder, places, CACHE), address);
    if (known || PyErr_Occurred()) return known;
    return hold(holder, PyObject_CallMethodObjArgs(places, names[FIND], address, NULL));
}

/* Both days' hashes of a visitor, empty for who opted out. -1 with an exception. */
static int put_hashes(Holder *holder, PyObject *salts, long long at_ms, const Click *click, PyObject *organization,
                      char texts[2][32], Span *parts)
{
    Span visitor[4];
    parts[TODAY] = parts[DAY_BEFORE] = nothing;
    PyObject *agent = get(holder, click->head, USER_AGENT), *const said[] = {organization, click->address, agent};
    if (!agent || read_spans(said, 3, "bsb", visitor + 1) < 0) return -1;
    if (click->is_opted_out) return 0;
    if (put_hash(holder, salts, at_ms / DAY_MS, visitor, texts[0], &parts[TODAY]) < 0) return -1;
    if (at_ms % DAY_MS >= MIDNIGHT_MS) return 0; /* as `visitor_hashes` has it */
    return put_hash(holder, salts, at_ms / DAY_MS - 1, visitor, texts[1], &parts[DAY_BEFORE]);
}

/* Arguments as `usual_click`'s. NULL without an exception: nothing was counted, and Python takes the click. */
static PyObject *take(Holder *holder, PyObject *const *given)
{
    Span message, parts[PARTS];
    char hashes[2][32];
    Click click = {.address = given[2], .prefix = given[3]};
    Parameters parameters;
    parameters.landing.size = parameters.identifiers.size = parameters.passed.size = 0;
    parameters.landing.is_full = parameters.identifiers.is_full = parameters.passed.is_full = 0;
    PyObject *const *kit = &PyTuple_GET_ITEM(given[0], 0);
    if (read_spans(given + 4, 1, "b", &message) < 0) return NULL;
    if (!find_all(holder, given, message, &click, &parameters)) return NULL;
    PyObject *packed = get(holder, click.link, TEXTS_OF), *link_id = get(holder, click.link, LINK_ID);
    if (!packed || !link_id) return NULL;
    for (int i = 0; i < 6; i++) __builtin_prefetch((char *)packed + 64 * i); /* far away, and not needed before hashing */

    PyObject *stamp = hold(holder, PyObject_CallNoArgs(kit[STAMP])), *organization = get(holder, click.link, ORGANIZATION);
    long long at_ms = stamp ? PyLong_AsLongLong(stamp) : -1;
    if (at_ms < 0 || !organization) return NULL;
    if (at_ms < number_of(click.link, OPENS_MS) || at_ms >= number_of(click.link, CLOSES_MS)) return NULL;
    if (put_hashes(holder, kit[SALTS], at_ms, &click, organization, hashes, parts) < 0) return NULL;

    Tally tallies[ALL_WINDOWS] = {{0}};
    long long most, now_ms = milliseconds(); /* not the stamp, which stands still when the clock was set back */
    PyObject *today = hold(holder, PyUnicode_FromStringAndSize(hashes[0], parts[TODAY].size));
    PyObject *const keys[ALL_WINDOWS] = {today, pair_of(holder, link_id, today), click.prefix, link_id, organization};
    PyObject *windows = windows_at(holder, item(holder, kit[ORGANIZATIONS], organization), now_ms, &most);
    PyObject *litter = get(holder, kit[VELOCITY], LITTER);
    if (!keys[PAIRS] || !windows || !litter || PyObject_IsTrue(litter)) return NULL;
    int bits = look_everywhere(holder, windows, keys, most, tallies);
    if (bits < 0 || bits >= PyTuple_GET_SIZE(kit[REASONS])) return NULL;

    PyObject *place = place_of(holder, kit[PLACES], click.address), *evidence = get(holder, click.head, EVIDENCE);
    PyObject *judged = verdict(holder, kit[JUDGE], evidence, place, PyTuple_GET_ITEM(kit[REASONS], bits));
    if (!judged) return NULL;
    PyObject *const texts[] = {
        hold(holder, PyObject_CallOneArg(kit[RFC3339], stamp)), hold(holder, PyObject_CallOneArg(kit[RANDOM_BYTES], kit[DRAWN_BYTES])),
        packed, judged, get(holder, click.head, LEAF), get(holder, click.head, EXPIRING),
    };
    for (int i = 0; i < MANY(texts); i++) if (!texts[i]) return NULL;
    Span of_link[TEXTS];
    if (read_spans(texts, MANY(texts), "sbbsss", parts) < 0 || read_texts(parts[LINK], of_link) < 0) return NULL;
    parts[LINK] = of_link[LINK_LEAF];
    if (read_spans(&click.prefix, 1, "s", &parts[PREFIX]) < 0) return NULL;
    const Text *landing = &parameters.landing, *identifiers = &parameters.identifiers, *passed = &parameters.passed;
    const Span of_query[] = {
        {landing->at, landing->size}, {identifiers->at, click.is_opted_out ? 0 : identifiers->size}, {passed->at, passed->size},
    };
    PyObject *event = hold(holder, make_event(at_ms, parts, of_query[0], of_query[1], click.is_opted_out));
    PyObject *passed_on = hold(holder, joined(&of_query[2], 1));
    if (!event || !passed_on || count_everywhere(windows, keys, tallies) < 0) return NULL;
    if (note_click(holder, kit[VELOCITY], keys) < 0) return NULL;
    PyObject *const *parts_of = &PyTuple_GET_ITEM(event, 0);
    PyObject *made = hold(holder, PyTuple_Pack(3, click.link, passed_on, parts_of[0]));
    return made ? PyTuple_Pack(4, organization, parts_of[1], parts_of[2], made) : NULL;
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

/* Arguments: texts of a link, prepared key, what answers begin with, what is passed on, event, flags. */
static PyObject *answer_found(PyObject *module, PyObject *const *given, Py_ssize_t many)
{
    Span a[5], texts[TEXTS];
    char id[63];
    if (many != 6) return PyErr_Format(PyExc_TypeError, "six arguments are needed");
    if (read_spans(given, 5, "bbbbb", a) < 0 || read_texts(a[0], texts) < 0) return NULL;
    if (put_click_id((const Span[]){a[1], texts[OF_ID], texts[MIDDLE], a[4]}, given[5], id) < 0) return NULL;
    const Span answer[] = {a[2], texts[IN_FRONT], a[3], TEXT("inf_click_id="), ARRAY(id), texts[BEHIND], TEXT("\r\n\r\n")};
    return joined(answer, MANY(answer));
}

#define FUNCTION(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}

static PyMethodDef functions[] = {
    FUNCTION(sha256), FUNCTION(visitor_hash), FUNCTION(prepare_key), FUNCTION(sign), FUNCTION(mint),
    FUNCTION(uuid_text), FUNCTION(opened), FUNCTION(keyed_event_id), FUNCTION(commitment), FUNCTION(click_event), FUNCTION(join_lines), FUNCTION(find_head), FUNCTION(find_post), FUNCTION(count_usual), FUNCTION(usual_click),
    FUNCTION(answer_found), {NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_clicks", NULL, -1, functions};

PyMODINIT_FUNC PyInit__clicks(void)
{
    static const char *const attributes[NAMES] = {
        "now", "before", "heavy_before", "alarm", "limit", "bit", "peaks", "windows", "most", "starts_ms",
        "ends_ms", "clicks", "litter", "forwarded", "host", "evidence", "is_opted_out", "leaf", "expiring",
        "user_agent", "verdicts", "versions", "is_stale", "opens_ms", "closes_ms", "organization", "link_id", "own_names",
        "texts", "cache", "find", "members",
    };
    for (int i = 0; i < NAMES; i++) {
        if (!names[i] && !(names[i] = PyUnicode_InternFromString(attributes[i]))) return NULL;
    }
    make_letters();
    make_classes();
    make_crc_tables();
    compress = best_compress();
    checksum = best_checksum();
    PyObject *module = PyModule_Create(&definition);
    if (module && PyModule_AddStringConstant(module, "SOURCES", SOURCES) < 0) Py_CLEAR(module);
    return module;
}
