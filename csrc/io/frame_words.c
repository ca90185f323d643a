/* Distinct texts and their numbers: a hash table with open addressing. */
#include "io/frame.h"

uint32_t dn_frame_hash(const char *p, size_t size) {
    uint64_t h = FRAME_HASH_BEGIN;
    for (; size >= 8; size -= 8, p += 8) h = frame_hash_mix(h, frame_load8(p));
    return frame_hash_end(h, frame_load8(p), size);
}

static void words_place(frame_words *w, uint32_t hash, int32_t index) {
    size_t i = hash & w->mask;
    while (w->slots[i].index) i = (i + 1) & w->mask;
    w->slots[i] = (struct frame_slot){hash, index + 1};
}

/* At most three quarters of the slots are taken. */
static dn_status words_grow(frame_words *w) {
    size_t old = w->slots ? w->mask + 1 : 0, wanted = old ? 2 * old : 64;
    struct frame_slot *slots = w->slots, *grown;
    if (old && (size_t)w->n < old / 4 * 3) return DN_OK;
    if (!(grown = dn_alloc(wanted, sizeof *grown))) return DN_E_MEMORY;
    w->slots = grown, w->mask = wanted - 1;
    for (size_t i = 0; i < old; i++)
        if (slots[i].index) words_place(w, slots[i].hash, slots[i].index - 1);
    dn_free(slots);
    return DN_OK;
}

static dn_status words_room(void **p, size_t *room, size_t wanted, size_t size) {
    if (wanted <= *room) return DN_OK;
    size_t n = wanted + wanted / 2 + 64;
    void *grown = dn_realloc(*p, n, size);
    if (!grown) return DN_E_MEMORY;
    *p = grown, *room = n;
    return DN_OK;
}

dn_status dn_frame_words_add(frame_words *w, const char *p, size_t size, uint32_t hash, int32_t *index) {
    DN_CHECK(w->n < INT32_MAX - 1, DN_E_FORMAT, "more than 2^31 different texts in a column");
    DN_TRY(words_grow(w));
    DN_TRY(words_room((void **)&w->at, &w->at_room, (size_t)w->n + 2, sizeof *w->at));
    DN_TRY(words_room((void **)&w->text, &w->room, w->size + size + 1 + DN_NUMBER_PADDING, 1));
    if (!w->n) w->at[0] = 0;
    if (size) memcpy(w->text + w->size, p, size);
    for (size_t i = 0; i < size; i++) w->high |= (signed char)p[i] < 0;
    w->text[w->size + size] = 0, w->size += size + 1;
    *index = w->n++;
    w->at[w->n] = w->size;
    words_place(w, hash, *index);
    return DN_OK;
}

void dn_frame_words_clear(frame_words *w) {
    if (!w->n) return;
    memset(w->slots, 0, (w->mask + 1) * sizeof *w->slots);
    w->n = 0, w->size = 0, w->high = 0;
}

void dn_frame_words_free(frame_words *w) {
    dn_free(w->text);
    dn_free(w->at);
    dn_free(w->slots);
    *w = (frame_words){0};
}
