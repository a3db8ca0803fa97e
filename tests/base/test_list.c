/* Tests of base/list.h: each operation by itself, and long random sequences against a plain array. */
#include "base/list.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct item {
    int id;
    struct list node;
};

/* Fails unless the list holds exactly these items, read forwards and backwards. */
static void expect(struct list *head, struct item *const *items, size_t count)
{
    struct list *node = head->next;
    for (size_t i = 0; i < count; i++, node = node->next)
        ck_assert_ptr_eq(node, &items[i]->node);
    ck_assert_ptr_eq(node, head);
    node = head->prev;
    for (size_t i = count; i-- > 0; node = node->prev)
        ck_assert_ptr_eq(node, &items[i]->node);
    ck_assert_ptr_eq(node, head);
    ck_assert_int_eq(list_is_empty(head), count == 0);
}

static void make(struct item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        items[i].id = (int)i;
        list_init(&items[i].node);
    }
}

START_TEST(an_initialised_list_is_empty)
{
    struct list head;
    list_init(&head);
    expect(&head, NULL, 0);
    ck_assert_ptr_null(list_pop_front(&head));
}
END_TEST

START_TEST(pushes_at_both_ends)
{
    struct list head;
    struct item items[3];
    list_init(&head);
    make(items, 3);
    list_push_back(&head, &items[1].node);
    list_push_back(&head, &items[2].node);
    list_push_front(&head, &items[0].node);
    expect(&head, (struct item *[]){&items[0], &items[1], &items[2]}, 3);
    ck_assert_int_eq(list_first(&head, struct item, node)->id, 0);
    ck_assert_int_eq(list_last(&head, struct item, node)->id, 2);
}
END_TEST

START_TEST(inserts_in_the_middle)
{
    struct list head;
    struct item items[3];
    list_init(&head);
    make(items, 3);
    list_push_back(&head, &items[0].node);
    list_push_back(&head, &items[2].node);
    list_insert_before(&items[2].node, &items[1].node);
    expect(&head, (struct item *[]){&items[0], &items[1], &items[2]}, 3);
}
END_TEST

START_TEST(an_unlinked_node_may_be_unlinked_again_and_linked_elsewhere)
{
    struct list head, other;
    struct item items[3];
    list_init(&head);
    list_init(&other);
    make(items, 3);
    ck_assert(!list_is_linked(&items[1].node));
    list_unlink(&items[1].node);
    for (size_t i = 0; i < 3; i++)
        list_push_back(&head, &items[i].node);
    ck_assert(list_is_linked(&items[1].node));
    list_unlink(&items[1].node);
    ck_assert(!list_is_linked(&items[1].node));
    list_unlink(&items[1].node);
    expect(&head, (struct item *[]){&items[0], &items[2]}, 2);
    list_push_back(&other, &items[1].node);
    expect(&other, (struct item *[]){&items[1]}, 1);
    expect(&head, (struct item *[]){&items[0], &items[2]}, 2);
}
END_TEST

START_TEST(the_only_node_of_a_list_is_linked)
{
    struct list head;
    struct item item;
    list_init(&head);
    make(&item, 1);
    list_push_back(&head, &item.node);
    ck_assert(list_is_linked(&item.node));
    ck_assert_ptr_eq(list_pop_front(&head), &item.node);
    ck_assert(!list_is_linked(&item.node));
    expect(&head, NULL, 0);
}
END_TEST

START_TEST(the_walk_lets_the_body_free_each_object)
{
    struct list head, *node, *following;
    list_init(&head);
    for (int i = 0; i < 5; i++) {
        struct item *item = malloc(sizeof *item);
        ck_assert_ptr_nonnull(item);
        make(item, 1);
        item->id = i;
        list_push_back(&head, &item->node);
    }
    int expected = 0;
    list_for_each_safe (node, following, &head) {
        struct item *item = list_entry(node, struct item, node);
        ck_assert_int_eq(item->id, expected++);
        list_unlink(node);
        memset(item, 0xee, sizeof *item);
        free(item);
    }
    ck_assert_int_eq(expected, 5);
    expect(&head, NULL, 0);
}
END_TEST

START_TEST(splicing_keeps_the_order_and_empties_the_source)
{
    struct list head, from;
    struct item items[4];
    list_init(&head);
    list_init(&from);
    make(items, 4);
    list_splice_back(&head, &from);
    expect(&head, NULL, 0);

    list_push_back(&from, &items[0].node);
    list_push_back(&from, &items[1].node);
    list_splice_back(&head, &from);
    expect(&head, (struct item *[]){&items[0], &items[1]}, 2);
    expect(&from, NULL, 0);

    list_push_back(&from, &items[2].node);
    list_push_back(&from, &items[3].node);
    list_splice_back(&head, &from);
    expect(&head, (struct item *[]){&items[0], &items[1], &items[2], &items[3]}, 4);
    list_splice_back(&head, &from);
    expect(&head, (struct item *[]){&items[0], &items[1], &items[2], &items[3]}, 4);
    expect(&from, NULL, 0);
}
END_TEST

/* ---- against an array ---- */

enum { ITEMS = 12 };

struct model {
    struct item *items[ITEMS];
    size_t count;
};

static void model_insert(struct model *model, size_t at, struct item *item)
{
    memmove(&model->items[at + 1], &model->items[at], (model->count - at) * sizeof model->items[0]);
    model->items[at] = item;
    model->count++;
}

static void model_remove(struct model *model, struct item *item)
{
    for (size_t i = 0; i < model->count; i++) {
        if (model->items[i] != item)
            continue;
        model->count--;
        memmove(&model->items[i], &model->items[i + 1], (model->count - i) * sizeof model->items[0]);
        return;
    }
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

START_TEST(random_operations_agree_with_an_array)
{
    uint32_t state = (uint32_t)_i + 1;
    struct list head;
    struct item items[ITEMS];
    struct model model = {.count = 0};
    list_init(&head);
    make(items, ITEMS);
    for (int step = 0; step < 2000; step++) {
        struct item *item = &items[next_random(&state) % ITEMS];
        bool linked = list_is_linked(&item->node);
        switch (next_random(&state) % 4) {
        case 0:
            if (!linked) {
                list_push_back(&head, &item->node);
                model_insert(&model, model.count, item);
            }
            break;
        case 1:
            if (!linked) {
                list_push_front(&head, &item->node);
                model_insert(&model, 0, item);
            }
            break;
        case 2:
            list_unlink(&item->node);
            model_remove(&model, item);
            break;
        default: {
            struct list *first = list_pop_front(&head);
            ck_assert_int_eq(first != NULL, model.count > 0);
            if (first != NULL)
                model_remove(&model, list_entry(first, struct item, node));
        }
        }
        expect(&head, model.items, model.count);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("list");
    TCase *tcase = tcase_create("list");
    tcase_add_test(tcase, an_initialised_list_is_empty);
    tcase_add_test(tcase, pushes_at_both_ends);
    tcase_add_test(tcase, inserts_in_the_middle);
    tcase_add_test(tcase, an_unlinked_node_may_be_unlinked_again_and_linked_elsewhere);
    tcase_add_test(tcase, the_only_node_of_a_list_is_linked);
    tcase_add_test(tcase, the_walk_lets_the_body_free_each_object);
    tcase_add_test(tcase, splicing_keeps_the_order_and_empties_the_source);
    tcase_add_loop_test(tcase, random_operations_agree_with_an_array, 0, 5);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
