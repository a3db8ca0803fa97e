/* Tests of routing/ahead: what is found is the hash of that key, and nothing is found that was not given. */
#include "routing/ahead.h"

#include "routing/md5.h"
#include "tests/routing/fleet.h"
#include "tests/support/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

enum { KEYS = 40, KEY_BYTES = 8 };

struct site {
    char text[KEYS * KEY_BYTES];
    struct slice keys[KEYS];
    struct ahead ahead;
};

static void site_init(struct site *site)
{
    memset(site, 0, sizeof *site);
    for (int i = 0; i < KEYS; i++) {
        char *key = site->text + i * KEY_BYTES;
        site->keys[i] = slice_make(key, (size_t)snprintf(key, KEY_BYTES, "key%d", i));
    }
}

static void expect_hash(struct site *site, size_t i)
{
    uint32_t hash = 0;
    ck_assert(ahead_find(&site->ahead, site->keys[i], &hash));
    ck_assert_uint_eq(hash, md5_first_word(site->keys[i].data, site->keys[i].len));
}

START_TEST(keys_are_found_in_their_order_and_more_than_once)
{
    struct site site;
    site_init(&site);
    for (size_t n = 0; n <= KEYS; n++) {
        ahead_hash(&site.ahead, site.keys, n);
        for (size_t i = 0; i < n; i++) {
            expect_hash(&site, i);
            expect_hash(&site, i);
        }
    }
}
END_TEST

START_TEST(other_keys_are_not_found)
{
    struct site site;
    site_init(&site);
    uint32_t hash;
    ck_assert(!ahead_find(&site.ahead, site.keys[0], &hash));
    ahead_hash(&site.ahead, site.keys, 10);
    char same_text[] = "key0";
    ck_assert(!ahead_find(&site.ahead, slice_make(same_text, 4), &hash));
    ck_assert(!ahead_find(&site.ahead, slice_make(site.keys[0].data, 3), &hash));
    ck_assert(!ahead_find(&site.ahead, site.keys[20], &hash));
    expect_hash(&site, 0);
    ahead_clear(&site.ahead);
    ck_assert(!ahead_find(&site.ahead, site.keys[0], &hash));
}
END_TEST

/* A ring places by it where it would place without, whatever its hash is. */
START_TEST(rings_locate_the_same_with_it)
{
    struct site site;
    site_init(&site);
    struct fleet fleet;
    fleet_init(&fleet, 7, 1);
    for (size_t d = 0; ring_distributions()[d] != NULL; d++) {
        struct ring *ring = fleet_ring(&fleet, ring_distributions()[d]);
        ahead_hash(&site.ahead, site.keys, KEYS / 2);
        for (size_t i = 0; i < KEYS; i++)
            ck_assert_uint_eq(ring_locate_ahead(ring, site.keys[i], &site.ahead),
                              ring_locate(ring, site.keys[i].data, site.keys[i].len));
        ring_destroy(&ring);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("ahead");
    tcase_add_test(tcase, keys_are_found_in_their_order_and_more_than_once);
    tcase_add_test(tcase, other_keys_are_not_found);
    tcase_add_test(tcase, rings_locate_the_same_with_it);
    return suite_run("routing/ahead", tcase);
}
