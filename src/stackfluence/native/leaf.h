/* Reading a leaf as the journal writes it for traffic, field by field in their order. */

enum { ID_DIGITS = 36, TIME_DIGITS = 24, MOST_DIGITS = 18 }; /* of a number, so that it fits */

/* Those of `Leaf` that traffic has, in its order. What isn't read here has a column that is computed from the leaf. */
static const Field FIELDS[] = {
    FIELD(event_id, AN_ID), FIELD(event_type, A_WORD), FIELD(occurred_at, A_TIME), FIELD(received_at, A_TIME),
    FIELD(click_id, AN_ID), FIELD(click_id_status, A_WORD), FIELD(signed_click_id, UNREAD_TEXT), FIELD(link_id, A_TEXT),
    FIELD(creator_id, A_TEXT), FIELD(campaign_id, A_TEXT), FIELD(asset_slug, A_TEXT), FIELD(session_id, A_TEXT),
    FIELD(visitor_hash, A_TEXT), FIELD(visitor_hash_before, A_TEXT), FIELD(page_path, A_TEXT),
    FIELD(referrer_host, A_TEXT), FIELD(landing_params, PAIRS, "Map(String, String)"),
    FIELD(engaged_ms, NUMBER, "Int64", 8, INT64_MAX), FIELD(bot_score, NUMBER, "UInt8", 1, UINT8_MAX),
    FIELD(bot_reasons, WORDS, "Array(LowCardinality(String))"), FIELD(list_versions, UNREAD_PAIRS),
    FIELD(ua_family, A_WORD), FIELD(os_family, A_WORD), FIELD(device_class, A_WORD), FIELD(in_app_browser, A_WORD),
    FIELD(country, A_WORD), FIELD(asn, NUMBER, "UInt32", 4, UINT32_MAX), FIELD(trust_tier, A_WORD),
    FIELD(consent, A_WORD), FIELD(is_test, A_FLAG), FIELD(is_clamped, A_FLAG), FIELD(personal_commitment, UNREAD_TEXT),
};
enum { EVENT_ID, EVENT_TYPE, OCCURRED_AT, RECEIVED_AT, FIELDS_MANY = sizeof FIELDS / sizeof *FIELDS };

static int8_t nibbles[256];

static void make_nibbles(void)
{
    memset(nibbles, -1, sizeof nibbles);
    for (int n = 0; n < 16; n++) nibbles[(uint8_t)"0123456789abcdef"[n]] = nibbles[(uint8_t)"0123456789ABCDEF"[n]] = (int8_t)n;
}

/* Each of these returns what follows, or NULL. The byte at `end` may be read, and is none that JSON has. */

#define EACH(byte) (0x0101010101010101 * (uint64_t)(byte))
#define HAS_ZERO(eight) (((eight) - EACH(1)) & ~(eight))

/* The quotation mark that ends a text; NULL where there is none, or something is escaped. */
static const char *text_end(const char *at, const char *end, int *is_ascii)
{
    while (end - at >= 8) {
        uint64_t eight;
        memcpy(&eight, at, 8);
        uint64_t found = HAS_ZERO(eight ^ EACH('"')) | HAS_ZERO(eight ^ EACH('\\')) | ((eight - EACH(' ')) & ~eight);
        found = (found | eight) & EACH(128); /* its lowest bit is right */
        if (!found) {
            at += 8;
            continue;
        }
        at += __builtin_ctzll(found) / 8;
        if ((int8_t)*at >= 0) return *at == '"' ? at : NULL;
        *is_ascii = 0;
        at++;
    }
    for (; at < end && *at != '"'; at++) {
        if ((int8_t)*at < 0) *is_ascii = 0;
        else if (*at < ' ' || *at == '\\') return NULL;
    }
    return at < end ? at : NULL;
}

static const char *read_texts(const char *at, const char *end, int is_pairs, Value *value, int *is_ascii)
{
    const char close = is_pairs ? '}' : ']';
    if (*at++ != (is_pairs ? '{' : '[')) return NULL;
    value->text.at = at;
    for (; value->number ? *at == ',' : *at != close; value->number++) {
        at += value->number > 0;
        for (int n = 0; n <= is_pairs; n++, at++) {
            if (n && *at++ != ':') return NULL;
            if (*at++ != '"' || !(at = text_end(at, end, is_ascii))) return NULL;
        }
    }
    value->text.size = (size_t)(at - value->text.at);
    return *at == close ? at + 1 : NULL;
}

static const char *read_number(const char *at, int64_t most, int64_t *number)
{
    int is_negative = *at == '-' && most == INT64_MAX;
    const char *first = at += is_negative;
    for (*number = 0; *at >= '0' && *at <= '9'; at++) {
        if (at - first == MOST_DIGITS) return NULL;
        *number = *number * 10 + (*at - '0');
    }
    if (at == first || (*first == '0' && (at - first > 1 || is_negative)) || *number > most) return NULL;
    if (is_negative) *number = -*number;
    return at;
}

static int digits(const char *at, int many)
{
    int number = 0;
    for (; many; many--, at++) {
        if (*at < '0' || *at > '9') return -1;
        number = number * 10 + (*at - '0');
    }
    return number;
}

/* Milliseconds since 1970 of 2026-11-22T13:00:00.000Z; -1 for what isn't written so. */
static int64_t read_time(const char *at)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int year = digits(at, 4), month = digits(at + 5, 2), day = digits(at + 8, 2), hour = digits(at + 11, 2);
    int minute = digits(at + 14, 2), second = digits(at + 17, 2), ms = digits(at + 20, 3);
    if (at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':' || at[16] != ':' || at[19] != '.') return -1;
    if (at[23] != 'Z' || year < 1970 || year > 2199 || month < 1 || month > 12 || day < 1 || ms < 0) return -1;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return -1;
    int is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0), last = year - 1;
    if (day > before[month] - before[month - 1] + (is_leap && month == 2)) return -1;
    int64_t days = (year - 1970) * 365 + last / 4 - last / 100 + last / 400 - 477; /* leap days before 1970 */
    days += before[month - 1] + (is_leap && month > 2) + day - 1;
    return ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000 + ms;
}

static int read_id(const char *at, uint64_t id[2])
{
    static const uint8_t places[32] = {
        0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 17,
        19, 20, 21, 22, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35,
    };
    uint64_t high = 0, low = 0;
    int all = 0; /* negative once one isn't hexadecimal */
    for (int n = 0; n < 16; n++) {
        int one = nibbles[(uint8_t)at[places[n]]], other = nibbles[(uint8_t)at[places[n + 16]]];
        high = high << 4 | (uint64_t)(one & 15);
        low = low << 4 | (uint64_t)(other & 15);
        all |= one | other;
    }
    id[0] = high, id[1] = low;
    return all >= 0 && at[8] == '-' && at[13] == '-' && at[18] == '-' && at[23] == '-';
}

static const char *read_value(const Field *field, const char *at, const char *end, Value *value, int *is_ascii)
{
    switch (field->kind) {
    case NUMBER: return read_number(at, field->most, &value->number);
    case WORDS: return read_texts(at, end, 0, value, is_ascii);
    case PAIRS:
    case UNREAD_PAIRS: return read_texts(at, end, 1, value, is_ascii);
    case FLAG:
        value->number = *at == 't';
        if (value->number) return end - at >= 4 && !memcmp(at, "true", 4) ? at + 4 : NULL;
        return end - at >= 5 && !memcmp(at, "false", 5) ? at + 5 : NULL;
    default: break;
    }
    if (*at++ != '"') return NULL;
    const char *mark = text_end(at, end, is_ascii);
    if (!mark) return NULL;
    value->text = (Span){at, (size_t)(mark - at)};
    if (field->kind == ID && (value->text.size != ID_DIGITS || !read_id(at, value->id))) return NULL;
    if (field->kind == TIME && (value->text.size != TIME_DIGITS || (value->number = read_time(at)) < 0)) return NULL;
    return mark + 1;
}

/* Whether bytes are UTF-8 (RFC 3629): no overlong form, no surrogate, nothing above U+10FFFF. */
static int is_utf8(Span text)
{
    const uint8_t *at = (const uint8_t *)text.at, *end = at + text.size;
    while (at < end) {
        uint8_t first = *at++;
        if (first < 0x80) continue;
        int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || end - at < more) return 0;
        uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80, high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        for (; more; more--, at++, low = 0x80, high = 0xbf) {
            if (*at < low || *at > high) return 0;
        }
    }
    return 1;
}

static int is_name(const char *at, const char *end, const Field *field)
{
    return (size_t)(end - at) > field->size && at[field->size] == '"' && *at == *field->name && !memcmp(at, field->name, field->size);
}

/* Read the fields from `at` to the brace that ends the leaf; whether they are all known and in their order. */
static int read_fields(const char *at, Span leaf, Value *values)
{
    const char *end = leaf.at + leaf.size;
    const Field *field = FIELDS, *last = FIELDS + FIELDS_MANY;
    int is_ascii = 1;
    do {
        if (*at++ != '"') return 0;
        for (; field < last && !is_name(at, end, field); field++) *values++ = (Value){0};
        if (field == last) return 0;
        at += field->size + 1;
        *values = (Value){0};
        if (*at++ != ':' || !(at = read_value(field, at, end, values, &is_ascii))) return 0;
        field++, values++;
    } while (*at++ == ',');
    for (; field < last; field++) *values++ = (Value){0};
    return at[-1] == '}' && at == end && (is_ascii || is_utf8(leaf));
}
