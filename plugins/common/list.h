/* SPDX-License-Identifier: MIT */
/*
 * list.h: doubly linked rings through struct list_head, as the kernel has them. The caller locks.
 *
 * A head and its nodes are of one type; an empty list is a head that points to itself.
 */
#ifndef LOAM_LIST_H
#define LOAM_LIST_H

#include <loam/page.h>

/** Declares an empty list. */
#define LIST_HEAD(name) struct list_head name = { &(name), &(name) }

/** Make @head an empty list. */
static inline void list_init(struct list_head *head)
{
	head->next = head->prev = head;
}

/** Whether nothing is on the list. */
static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

/** Put @node behind @head: it becomes the first. */
static inline void list_add(struct list_head *node, struct list_head *head)
{
	node->next = head->next;
	node->prev = head;
	head->next->prev = node;
	head->next = node;
}

/** Put @node before @head: it becomes the last. */
static inline void list_add_tail(struct list_head *node, struct list_head *head)
{
	list_add(node, head->prev);
}

/** Take @node off its list. Its own links stay as they were. */
static inline void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
}

/** The same, and make it an empty list: to take it off once more is harmless. */
static inline void list_del_init(struct list_head *node)
{
	list_del(node);
	list_init(node);
}

/** Take @node off its list and put it behind @head. */
static inline void list_move(struct list_head *node, struct list_head *head)
{
	list_del(node);
	list_add(node, head);
}

/** The @type whose @member is the node at @ptr. */
#define list_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
/** Each node of the list at @head, which stays as it is. */
#define list_for_each(pos, head) for (struct list_head *pos = (head)->next; pos != (head); pos = pos->next)
/** Each node; the one at @pos may be taken off, or freed. */
#define list_for_each_safe(pos, head)                                                                                  \
	for (struct list_head *pos = (head)->next, *pos##_next = pos->next; pos != (head);                             \
	     pos = pos##_next, pos##_next = pos->next)

/** Where a held frame is on a list of its holder's: the words own[1] and own[2]. */
static inline struct list_head *list_page_node(struct page *page)
{
	return (struct list_head *)&page->own[1];
}

/** The frame whose node that is. */
static inline struct page *list_page(struct list_head *node)
{
	return list_of(node, struct page, own[1]);
}

#endif
