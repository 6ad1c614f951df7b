// trace.c: the columns of a GHTRACE1 recording. See trace.h.

#include "trace.h"

#include <stdlib.h>
#include <string.h>

bool
gh_enc_by_name(const char *name, gh_enc *out)
{
    static const struct {
        const char *name;
        gh_enc enc;
    } encs[] = {
        {"u8", GH_ENC_U8},
        {"uvarint", GH_ENC_UVARINT},
        {"delta-svarint", GH_ENC_DELTA},
    };
    for (size_t i = 0; i < sizeof(encs) / sizeof(encs[0]); i++) {
        if (strcmp(encs[i].name, name) == 0) {
            *out = encs[i].enc;
            return true;
        }
    }
    return false;
}

void
gh_column_init(gh_column *c, gh_enc enc)
{
    *c = (gh_column){.enc = enc};
}

void
gh_column_fini(gh_column *c)
{
    free(c->buf);
    *c = (gh_column){.enc = c->enc};
}

gh_status
gh_column_feed(gh_column *c, const uint8_t *data, size_t n, bool last)
{
    if (c->last) {
        return GH_ERR_STATE;
    }
    const size_t left = (size_t)(c->end - c->p);
    if (n > SIZE_MAX / 4 - left) {
        return GH_ERR_NOMEM;
    }
    const size_t need = left + n + GH_VARINT_MAX;
    if (need > c->cap) {
        uint8_t *buf = malloc(need);
        if (buf == NULL) {
            return GH_ERR_NOMEM;
        }
        if (left > 0) {
            memcpy(buf, c->p, left);
        }
        c->base = gh_column_offset(c);
        free(c->buf);
        c->buf = buf;
        c->cap = need;
    } else {
        c->base = gh_column_offset(c);
        memmove(c->buf, c->p, left);
    }
    if (n > 0) {
        memcpy(c->buf + left, data, n);
    }
    memset(c->buf + left + n, 0, GH_VARINT_MAX);
    c->p = c->buf;
    c->end = c->buf + left + n;
    c->last = last;
    return GH_OK;
}

bool
gh_column_uvarint_long(gh_column *c, uint64_t *out)
{
    uint64_t v = 0;
    const uint8_t *p = c->p;
    for (unsigned i = 0; i < GH_VARINT_MAX; i++) {
        const uint64_t b = p[i];
        if (i == GH_VARINT_MAX - 1 && b > 1) {
            return false;
        }
        v |= (b & 0x7f) << (7 * i);
        if (b < 0x80) {
            c->p = p + i + 1;
            *out = v;
            return true;
        }
    }
    return false;
}
