/* What a click's parameters say, when all are plain: what click/visitor.py keeps of them, and destination.py passes on. */

enum { MAX_PASSED = 2000, MAX_PAIRS = 100, MAX_LANDING = 32, LANDING_TEXT = 100, IDENTIFIER_TEXT = 300 };

typedef struct {
    Text landing, identifiers, passed; /* members of leaf and personal part, a comma behind and before; and the rest */
} Parameters;

static int is_plain(char c)
{
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '_' || c == '.' || c == '~';
}

/* Whether a value needs no decoding, or is only passed on and has no escapes but those of `=`. */
static int is_plain_value(Span value, int *is_escaped)
{
    for (Py_ssize_t i = 0; i < value.size; i++) {
        if (is_plain(value.at[i]) || value.at[i] == '=') continue;
        if (value.size - i < 3 || !starts_with((Span){value.at + i, 3}, TEXT("%3d"))) return 0;
        *is_escaped = 1;
        i += 2;
    }
    return 1;
}

static Span cut(Span span, Py_ssize_t most) { return (Span){span.at, span.size < most ? span.size : most}; }

static void put_member(Text *to, Span name, Span prefix, Span value)
{
    const Span parts[] = {TEXT("\""), prefix, name, TEXT("\":\""), value, TEXT("\",")};
    for (int i = 0; i < MANY(parts); i++) put(to, parts[i]);
}

/* A parameter that is kept. 0 when it, or its network, came before: the last one counts. */
static int keep(Parameters *to, Span name, Span value, Span network, Span *kept, int *many)
{
    const Span known = network.size ? network : name;
    for (int i = 0; i < *many; i++) {
        if (is_same(kept[i], known)) return 0;
    }
    if (*many == MAX_LANDING) return 0;
    kept[(*many)++] = known;
    if (!network.size) {
        put_member(&to->landing, name, TEXT(""), cut(value, LANDING_TEXT));
    } else {
        put_member(&to->landing, network, TEXT("network:"), TEXT("1"));
        put_member(&to->identifiers, name, TEXT(""), cut(value, IDENTIFIER_TEXT));
    }
    return 1;
}

/* Whether a name is one of the destination's, as the most lenient reader sees it, 2 for the click ID's own; -1 with an
   exception. */
static int is_own(PyObject *own_names, Span name)
{
    char folded[MAX_PASSED];
    Py_ssize_t start = 0, end = name.size;
    for (Py_ssize_t i = 0; i < name.size; i++) folded[i] = name.at[i] == '.' ? '_' : lower(name.at[i]);
    while (start < end && folded[start] == '_') start++;
    while (start < end && folded[end - 1] == '_') end--;
    if (is_same((Span){folded + start, end - start}, TEXT("inf_click_id"))) return 2;
    PyObject *key = PyBytes_FromStringAndSize(folded + start, end - start);
    int found = key ? PySet_Contains(own_names, key) : -1;
    Py_XDECREF(key);
    return found;
}

/* One `name=value`. 0 when Python should read the parameters, -1 with an exception. */
static int read_pair(Parameters *to, Span pair, PyObject *landing, PyObject *own_names, Span *kept, int *many)
{
    const char *equals = memchr(pair.at, '=', (size_t)pair.size);
    const Span name = {pair.at, equals ? equals - pair.at : pair.size};
    const Span value = equals ? (Span){equals + 1, pair.size - name.size - 1} : (Span){"", 0};
    int is_escaped = 0;
    for (Py_ssize_t i = 0; i < name.size; i++) {
        if (!is_plain(name.at[i])) return 0;
    }
    if (!is_plain_value(value, &is_escaped)) return 0;
    PyObject *key = PyBytes_FromStringAndSize(name.at, name.size);
    PyObject *network = key ? PyDict_GetItemWithError(landing, key) : NULL;
    Py_XDECREF(key);
    if (network) {
        Span of_network;
        if (read_spans(&network, 1, "b", &of_network) < 0) return -1;
        if (is_escaped || !keep(to, name, value, of_network, kept, many)) return 0;
    } else if (PyErr_Occurred()) {
        return -1;
    }
    int is_theirs = is_own(own_names, name);
    if (is_theirs == 2 && equals) return 0; /* arrival.py calls it replayed */
    if (is_theirs == 0) put(&to->passed, pair), put(&to->passed, TEXT("&"));
    return is_theirs < 0 ? -1 : 1;
}

/* 1 for parameters that are plain and give no reason; 0 when Python should read them, -1 with an exception. */
static int read_parameters(Parameters *to, Span query, PyObject *landing, PyObject *own_names)
{
    Span kept[MAX_LANDING];
    int many = 0, pairs = 0;
    if (query.size > MAX_PASSED) return 0;
    if (!PyDict_CheckExact(landing) || !PyFrozenSet_CheckExact(own_names)) {
        PyErr_SetString(PyExc_TypeError, "a dict and a frozenset");
        return -1;
    }
    for (Py_ssize_t i = 0; i + 6 <= query.size; i++) {
        if (starts_with((Span){query.at + i, query.size - i}, TEXT("select"))) return 0; /* arrival.py looks closer */
    }
    put(&to->landing, TEXT("\"landing_params\":{"));
    put(&to->identifiers, TEXT(",\"ad_click_ids\":{"));
    const Py_ssize_t no_landing = to->landing.size, no_identifiers = to->identifiers.size;
    for (const char *at = query.at, *end = query.at + query.size; at < end; pairs++) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        const Span pair = {at, (next ? next : end) - at};
        int read = pair.size ? read_pair(to, pair, landing, own_names, kept, &many) : 1;
        if (read <= 0) return read;
        at += pair.size + 1;
    }
    if (to->landing.size == no_landing) to->landing.size = 0;
    else to->landing.at[to->landing.size - 1] = '}', put(&to->landing, TEXT(","));
    if (to->identifiers.size == no_identifiers) to->identifiers.size = 0;
    else to->identifiers.at[to->identifiers.size - 1] = '}';
    return pairs <= MAX_PAIRS && !to->landing.is_full && !to->identifiers.is_full && !to->passed.is_full;
}
