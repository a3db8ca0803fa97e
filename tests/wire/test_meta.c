/* Meta commands: lines, quiet answers, encoded keys. */
#include "tests/wire/request_rows.h"

#define K50 "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250 K50 K50 K50 K50 K50
#define O32 "Oabcdefghijklmnopqrstuvwxyz01234"
#define TOKEN "CLIENT_ERROR bad token in command line format\r\n"
#define DUPLICATE "CLIENT_ERROR duplicate flag\r\n"
#define FLAG "CLIENT_ERROR invalid flag\r\n"
#define EITHER "CLIENT_ERROR invalid or duplicate flag\r\n"
#define DECODE "CLIENT_ERROR error decoding key\r\n"
#define OPAQUE "CLIENT_ERROR opaque token too long\r\n"
/* 17 flags: with verb and key as many tokens as there may be */
#define FLAGS17 "v k c f s t h l u O1 T0 R0 P L I F1 C1"

static const struct row rows[] = {
    ROW_READY("mg k\r\n", "mg k", "vr", 0),
    ROW_READY("mg k v\r\n", "mg k v", "vr", 0),
    ROW_READY("mg k s v t f c h l u k " O32 "\r\n", "mg k s v t f c h l u k " O32, "vr", 0),
    ROW_READY("mg " K250 " v\r\n", "mg " K250 " v", "vr", 0),
    ROW_READY("mg k v T30\r\n", "mg k v T30", "v", 0),
    ROW_READY("mg k v N30\r\n", "mg k v N30", "v", 0),
    ROW_READY("mg k v R-1\r\n", "mg k v R-1", "v", 0),
    ROW_READY("mg k vxyz Pa/b Lc\r\n", "mg k vxyz Pa/b Lc", "vr", 0),
    ROW_READY("mg k " FLAGS17 "\r\n", "mg k " FLAGS17, "v", 0),
    ROW_READY("mg k E17 x\r\n", "mg k E17 x", "v", 0),
    ROW_READY("mg k q\r\n", "mg k", "qr", 0),
    ROW_READY("mg k v q k\r\n", "mg k v k", "qr", 0),
    ROW_READY("mg k qq v\r\n", "mg k v", "qr", 0),
    ROW_READY("mg q q\r\n", "mg q", "qr", 0),
    ROW_READY("mg  k   v\n", "mg k v", "r", 0),
    ROW_READY("mg Zm9v b v\r\n", "mg Zm9v b v", "vbr", 0),
    ROW_READY("mg Zm9v v b k q\r\n", "mg Zm9v v b k", "qbr", 0),
    ROW_READY("mg noreply noreply\r\n", "mg noreply noreply", "v", 0),
    ROW_REFUSED("mg\r\n", ERR, 0),
    ROW_REFUSED("mg " K250 "k\r\n", BAD, 0),
    ROW_REFUSED("mg a\x01 v\r\n", BAD, 0),
    ROW_REFUSED("mg k v\0\r\n", BAD, 0),
    ROW_REFUSED("mg k v v\r\n", DUPLICATE, 0),
    ROW_REFUSED("mg k q q\r\n", DUPLICATE, 0),
    ROW_REFUSED("mg k \x80\r\n", DUPLICATE, 0),
    ROW_REFUSED("mg k 5\r\n", FLAG, 0),
    ROW_REFUSED("mg k -\r\n", FLAG, 0),
    ROW_REFUSED("mg k [\r\n", FLAG, 0),
    ROW_REFUSED("mg k T\r\n", TOKEN, 0),
    ROW_REFUSED("mg k Tx\r\n", TOKEN, 0),
    ROW_REFUSED("mg k N q\r\n", TOKEN, 0),
    ROW_REFUSED("mg k R9223372036854775808\r\n", TOKEN, 0),
    ROW_REFUSED("mg k Tx 5\r\n", FLAG, 0),
    ROW_REFUSED("mg k Tx Mxx\r\n", "CLIENT_ERROR incorrect length for M token\r\n", 0),
    ROW_REFUSED("mg k Tx F\r\n", TOKEN, 0),
    ROW_REFUSED("mg k Fx\r\n", BAD, 0),
    ROW_REFUSED("mg Zm9 b\r\n", DECODE, 0),
    ROW_REFUSED("mg ==== b\r\n", DECODE, 0),
    ROW_REFUSED("mg k " O32 "5\r\n", OPAQUE, 0),
    ROW_REFUSED("mg k " FLAGS17 " z\r\n", "CLIENT_ERROR options flags are too long\r\n", 0),
    /* "x\r\nHD": memcached would print it raw, and so answer twice */
    ROW_REFUSED("mg eA0KSEQ= b k\r\n", BAD, 0),
    ROW_REFUSED("mg eA0KSEQ= k v b\r\n", BAD, 0),
    ROW_REFUSED("mg DQo= b k\r\n", BAD, 0),
    ROW_READY("mg eA0KSEQ= b v\r\n", "mg eA0KSEQ= b v", "vbr", 0),
    ROW_READY("mg Cg== b k\r\n", "mg Cg== b k", "vbr", 0),

    ROW_READY("ms k 5\r\n", "ms k 5", "vd", 5),
    ROW_READY("ms k 0 T0 F7 I MS\r\n", "ms k 0 T0 F7 I MS", "vd", 0),
    ROW_READY("ms k 5 q c\r\n", "ms k 5 c", "qd", 5),
    ROW_READY("ms Zm9v 5 b\r\n", "ms Zm9v 5 b", "vbd", 5),
    ROW_READY("ms eA0KSEQ= 5 b k\r\n", "ms eA0KSEQ= 5 b k", "vbd", 5),
    ROW_READY("ms k 5 MZ\r\n", "ms k 5 MZ", "vd", 5),
    ROW_READY("ms k 5 E9 z\r\n", "ms k 5 E9 z", "vd", 5),
    ROW_READY("ms k 5 F4294967296\r\n", "ms k 5 F4294967296", "vd", 5),
    ROW_REFUSED("ms\r\n", ERR, 0),
    ROW_REFUSED("ms k\r\n", BAD, 0),
    ROW_REFUSED("ms k S5\r\n", BAD, 0),
    ROW_REFUSED("ms k T0 5\r\n", BAD, 0),
    ROW_REFUSED("ms " K250 "k 5\r\n", BAD, 7),
    ROW_REFUSED("ms a\x01 5\r\n", BAD, 7),
    ROW_REFUSED("ms k -1\r\n", BAD, 0),
    ROW_REFUSED("ms k +5\r\n", BAD, 7),
    ROW_REFUSED("ms k 5\t\r\n", BAD, 7),
    ROW_REFUSED("ms k 5\0 v\r\n", BAD, 7),
    ROW_REFUSED("ms k 000000000005\r\n", BAD, 7),
    ROW_REFUSED("ms k 1001\r\n", LARGE, 1003),
    ROW_REFUSED("ms k 1001 q\r\n", LARGE, 1003),
    ROW_REFUSED("ms k 4294967301\r\n", LARGE, 4294967303),
    ROW_REFUSED("ms k 9223372036854775808\r\n", BAD, 0),
    ROW_REFUSED("ms k 5 v v\r\n", DUPLICATE, 7),
    ROW_REFUSED("ms k 5 5\r\n", FLAG, 7),
    ROW_REFUSED("ms k 5 -\r\n", FLAG, 7),
    ROW_REFUSED("ms k 5 Tx\r\n", TOKEN, 7),
    ROW_REFUSED("ms k 5 Cx\r\n", TOKEN, 7),
    ROW_REFUSED("ms k 5 F\r\n", BAD, 7),
    ROW_REFUSED("ms k 5 M\r\n", "CLIENT_ERROR incorrect length for M token\r\n", 7),
    ROW_REFUSED("ms k 5 Jx\r\n", "CLIENT_ERROR invalid numeric initial value\r\n", 7),
    ROW_REFUSED("ms k 5 D-1\r\n", "CLIENT_ERROR invalid numeric delta value\r\n", 7),
    ROW_REFUSED("ms Zm9 5 b\r\n", DECODE, 7),
    ROW_REFUSED("ms k 5 " O32 "5\r\n", OPAQUE, 7),
    ROW_REFUSED("ms k 5 " FLAGS17 "\r\n", "CLIENT_ERROR options flags too long\r\n", 7),

    ROW_READY("md k\r\n", "md k", "v", 0),
    ROW_READY("md k q I T30 C5\r\n", "md k I T30 C5", "q", 0),
    ROW_READY("md Zm9v b k\r\n", "md Zm9v b k", "vb", 0),
    ROW_REFUSED("md\r\n", ERR, 0),
    ROW_REFUSED("md k v v\r\n", EITHER, 0),
    ROW_REFUSED("md k Tx\r\n", EITHER, 0),
    ROW_REFUSED("md Zm9 b\r\n", EITHER, 0),
    ROW_REFUSED("md k " O32 "5\r\n", OPAQUE, 0),
    ROW_REFUSED("md k " FLAGS17 " z\r\n", "CLIENT_ERROR options flags too long\r\n", 0),

    ROW_READY("ma k\r\n", "ma k", "v", 0),
    ROW_READY("ma k MD D5 N0 J7 v q\r\n", "ma k MD D5 N0 J7 v", "q", 0),
    ROW_READY("ma k M+ D18446744073709551615\r\n", "ma k M+ D18446744073709551615", "v", 0),
    ROW_REFUSED("ma\r\n", ERR, 0),
    ROW_REFUSED("ma k Dx\r\n", EITHER, 0),
    ROW_REFUSED("ma k M\r\n", EITHER, 0),
    ROW_REFUSED("ma k " O32 "5\r\n", OPAQUE, 0),

    ROW_READY("me k\r\n", "me k", "vr", 0),
    ROW_READY("me Zm9v b\r\n", "me Zm9v b", "vbr", 0),
    ROW_READY("me k q b\r\n", "me k", "r", 0),
    ROW_READY("me Zm9v b q\r\n", "me Zm9v b", "br", 0),
    ROW_READY("me Cg== b\r\n", "me Cg== b", "vbr", 0),
    ROW_REFUSED("me\r\n", BAD, 0),
    ROW_REFUSED("me a\x01\r\n", BAD, 0),
    ROW_REFUSED("me " K250 "k\r\n", BAD, 0),
    ROW_REFUSED("me Zm9 b\r\n", BAD, 0),
    ROW_REFUSED("me eA0KSEQ= b\r\n", BAD, 0),
    ROW_REFUSED("me k\0\r\n", BAD, 0),
    ROW_REFUSED("mx k\r\n", ERR, 0),
};

START_TEST(lines_are_as_tabled)
{
    row_check(&rows[_i]);
}
END_TEST

static const struct {
    const char *line;
    const char *swallowed; /* a letter for each code: E EN, H HD, V VA, N NF, X EX, S NS, c CLIENT_ERROR */
} quiets[] = {
    {"mg k q\r\n", "E"}, {"ms k 5 q\r\n", "H"}, {"md k q\r\n", "H"}, {"ma k q\r\n", "HV"}, {"mg k\r\n", ""},
    {"ms k 5\r\n", ""},  {"md k\r\n", ""},      {"ma k\r\n", ""},    {"me k q\r\n", ""},
};

START_TEST(quiet_keeps_back_what_memcached_does)
{
    static const struct {
        enum reply_code code;
        char letter;
    } codes[] = {
        {REPLY_CODE_EN, 'E'},           {REPLY_CODE_HD, 'H'},           {REPLY_CODE_VA, 'V'},
        {REPLY_CODE_NF, 'N'},           {REPLY_CODE_EX, 'X'},           {REPLY_CODE_NS, 'S'},
        {REPLY_CODE_CLIENT_ERROR, 'c'}, {REPLY_CODE_SERVER_ERROR, 's'}, {REPLY_CODE_ERROR, 'e'},
    };
    struct request request;
    const char *line = quiets[_i].line;
    ck_assert_int_eq(request_parse(line, strlen(line), ROW_ITEM_SIZE, &request), REQUEST_READY);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        ck_assert_msg(request_swallows(&request, codes[i].code) ==
                          (strchr(quiets[_i].swallowed, codes[i].letter) != NULL),
                      "%c after %s", codes[i].letter, line);
}
END_TEST

START_TEST(an_encoded_key_is_routed_decoded)
{
    static const char line[] = "mg Zm9vYg== v b\r\n";
    struct request request;
    char buffer[KEY_LEN_MAX];
    ck_assert_int_eq(request_parse(line, sizeof(line) - 1, 0, &request), REQUEST_READY);
    ck_assert(slice_equal(request.key, SLICE_OF("Zm9vYg==")));
    ck_assert(slice_equal(request_route_key(&request, buffer), SLICE_OF("foob")));
}
END_TEST

/* 250 letters hold no whole groups of four; 248 are the longest. */
START_TEST(the_longest_encoded_key_fits)
{
    char line[300] = "mg ";
    memset(line + 3, 'A', 248);
    strcpy(line + 251, " b\r\n");
    struct request request;
    char buffer[KEY_LEN_MAX];
    ck_assert_int_eq(request_parse(line, strlen(line), 0, &request), REQUEST_READY);
    ck_assert_uint_eq(request_route_key(&request, buffer).len, 186);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire/meta");
    TCase *tcase = tcase_create("meta");
    tcase_add_loop_test(tcase, lines_are_as_tabled, 0, (int)(sizeof(rows) / sizeof(rows[0])));
    tcase_add_loop_test(tcase, quiet_keeps_back_what_memcached_does, 0, (int)(sizeof(quiets) / sizeof(quiets[0])));
    tcase_add_test(tcase, an_encoded_key_is_routed_decoded);
    tcase_add_test(tcase, the_longest_encoded_key_fits);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
