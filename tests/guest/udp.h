/* What udp.c and udp_more.c share. */
#ifndef UDP_TEST_H
#define UDP_TEST_H
#include "net.h"
#include <linux/errqueue.h>
#include <netinet/udp.h>


#endif
