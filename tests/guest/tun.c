/* tuntap: /dev/net/tun. Every case is in a network namespace of its own, where one can be had. */
#include "check.h"
#include <arpa/inet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

static void own_network(void)
{
	if (unshare(CLONE_NEWNET) == -1)
		SKIP("no network namespace of its own");
}

/* The device, by a node of our own in a container that has none. */
static int open_tun(int flags)
{
	int fd = open("/dev/net/tun", flags);
	if (fd == -1 && errno == ENOENT) {
		if (mknod("tun", S_IFCHR | 0600, makedev(10, 200)) == -1)
			EQ(errno, EEXIST);
		fd = open("tun", flags);
	}
	return fd;
}

static int attach(const char *name, int flags, struct ifreq *ifr)
{
	int fd = OK(open_tun(O_RDWR | O_NONBLOCK));
	memset(ifr, 0, sizeof *ifr);
	strcpy(ifr->ifr_name, name);
	ifr->ifr_flags = flags;
	OK(ioctl(fd, TUNSETIFF, ifr));
	return fd;
}

static void address(const char *name, const char *ip, const char *mask)
{
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct ifreq ifr = {0};
	struct sockaddr_in *sin = (struct sockaddr_in *)&ifr.ifr_addr;
	strcpy(ifr.ifr_name, name);
	sin->sin_family = AF_INET;
	inet_pton(AF_INET, ip, &sin->sin_addr);
	OK(ioctl(s, SIOCSIFADDR, &ifr));
	inet_pton(AF_INET, mask, &sin->sin_addr);
	OK(ioctl(s, SIOCSIFNETMASK, &ifr));
	OK(ioctl(s, SIOCGIFFLAGS, &ifr));
	ifr.ifr_flags |= IFF_UP;
	OK(ioctl(s, SIOCSIFFLAGS, &ifr));
	close(s);
}

/* The next IPv4 packet for UDP or ICMP; others (IPv6 router solicitations, IGMP) are passed over. */
static int next_packet(int fd, unsigned char *buf, int size)
{
	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		EQ(poll(&p, 1, 5000), 1);
		int n = OK(read(fd, buf, size));
		if (n >= 20 && buf[0] >> 4 == 4 && (buf[9] == 17 || buf[9] == 1))
			return n;
	}
}

static uint16_t sum(const unsigned char *p, int n)
{
	uint32_t s = 0;
	for (int i = 0; i + 1 < n; i += 2)
		s += p[i] << 8 | p[i + 1];
	if (n & 1)
		s += p[n - 1] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s;
}

TEST(not_attached)
{
	int fd = OK(open_tun(O_RDWR | O_NONBLOCK));
	char buf[64] = {0};
	ERR(read(fd, buf, sizeof buf), EBADFD);
	ERR(write(fd, buf, sizeof buf), EBADFD);
	struct ifreq ifr = {0};
	ERR(ioctl(fd, TUNGETIFF, &ifr), EBADFD);
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLERR);
	unsigned features = 0;
	OK(ioctl(fd, TUNGETFEATURES, &features));
	CHECK((features & (IFF_TUN | IFF_TAP | IFF_NO_PI)) == (IFF_TUN | IFF_TAP | IFF_NO_PI));
}

TEST(names)
{
	own_network();
	struct ifreq ifr;
	int one = attach("", IFF_TUN | IFF_NO_PI, &ifr);
	STR(ifr.ifr_name, "tun0");
	int two = attach("test%d", IFF_TAP | IFF_NO_PI, &ifr);
	STR(ifr.ifr_name, "test0");
	struct ifreq got = {0};
	OK(ioctl(two, TUNGETIFF, &got));
	STR(got.ifr_name, "test0");
	EQ(got.ifr_flags & (IFF_TUN | IFF_TAP | IFF_NO_PI), IFF_TAP | IFF_NO_PI);
	CHECK(if_nametoindex("tun0") > 0 && if_nametoindex("test0") > 0);

	int three = OK(open_tun(O_RDWR));
	memset(&ifr, 0, sizeof ifr);
	strcpy(ifr.ifr_name, "tun0");
	ifr.ifr_flags = IFF_TUN | IFF_NO_PI;
	ERR(ioctl(three, TUNSETIFF, &ifr), EBUSY);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI;
	ERR(ioctl(three, TUNSETIFF, &ifr), EINVAL);
	strcpy(ifr.ifr_name, "lo");
	ERR(ioctl(three, TUNSETIFF, &ifr), EINVAL);
	strcpy(ifr.ifr_name, "x");
	ifr.ifr_flags = 0;
	ERR(ioctl(three, TUNSETIFF, &ifr), EINVAL);
	close(one);
	EQ(if_nametoindex("tun0"), 0);
	close(two);
	EQ(if_nametoindex("test0"), 0);
}

TEST(persistent)
{
	own_network();
	struct ifreq ifr;
	int fd = attach("keep", IFF_TUN | IFF_NO_PI, &ifr);
	OK(ioctl(fd, TUNSETPERSIST, 1));
	close(fd);
	CHECK(if_nametoindex("keep") > 0);
	fd = attach("keep", IFF_TUN | IFF_NO_PI, &ifr);
	OK(ioctl(fd, TUNSETPERSIST, 0));
	close(fd);
	EQ(if_nametoindex("keep"), 0);
}

TEST(down)
{
	own_network();
	struct ifreq ifr;
	int fd = attach("tun0", IFF_TUN | IFF_NO_PI, &ifr);
	unsigned char packet[20] = {0x45};
	ERR(write(fd, packet, sizeof packet), EIO);
	ERR(read(fd, packet, sizeof packet), EAGAIN);
}

TEST(datagram_out_and_in)
{
	own_network();
	struct ifreq ifr;
	int fd = attach("tun0", IFF_TUN | IFF_NO_PI, &ifr);
	address("tun0", "10.9.0.1", "255.255.255.0");
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in to = {AF_INET, htons(7777), {0}, {0}};
	inet_pton(AF_INET, "10.9.0.2", &to.sin_addr);
	EQ(sendto(s, "hello", 5, 0, (void *)&to, sizeof to), 5);

	unsigned char buf[2048];
	int n = next_packet(fd, buf, sizeof buf);
	EQ(n, 33);
	EQ(buf[9], 17);
	EQ(sum(buf, 20), 0);
	EQ(memcmp(buf + 12, "\x0a\x09\x00\x01\x0a\x09\x00\x02", 8), 0);
	EQ(buf[22] << 8 | buf[23], 7777);
	EQ(memcmp(buf + 28, "hello", 5), 0);

	unsigned char back[2048]; /* the answer: addresses and ports changed over, no checksum of the data */
	memcpy(back, buf, n);
	memcpy(back + 12, buf + 16, 4);
	memcpy(back + 16, buf + 12, 4);
	memcpy(back + 20, buf + 22, 2);
	memcpy(back + 22, buf + 20, 2);
	memset(back + 26, 0, 2);
	memcpy(back + 28, "HELLO", 5);
	EQ(write(fd, back, n), n);
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	EQ(recvfrom(s, buf, sizeof buf, 0, (void *)&from, &len), 5);
	EQ(memcmp(buf, "HELLO", 5), 0);
	EQ(ntohs(from.sin_port), 7777);
}

TEST(echo_request)
{
	own_network();
	struct ifreq ifr;
	int fd = attach("tun0", IFF_TUN, &ifr); /* with struct tun_pi */
	address("tun0", "10.9.0.1", "255.255.255.0");
	unsigned char packet[32] = {0, 0, 8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1, 8, 0, 0, 0, 1, 2, 3, 4};
	uint16_t c = sum(packet + 4, 20);
	packet[14] = c >> 8, packet[15] = c;
	c = sum(packet + 24, 8);
	packet[26] = c >> 8, packet[27] = c;
	EQ(write(fd, packet, sizeof packet), (long)sizeof packet);
	unsigned char buf[2048];
	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		EQ(poll(&p, 1, 5000), 1);
		int n = OK(read(fd, buf, sizeof buf));
		if (n == 32 && buf[4] >> 4 == 4 && buf[13] == 1)
			break;
	}
	EQ(buf[2] << 8 | buf[3], 0x800);
	EQ(buf[24], 0); /* echo reply */
	EQ(memcmp(buf + 28, "\1\2\3\4", 4), 0);
	EQ(sum(buf + 24, 8), 0);
}

TEST(short_buffer)
{
	own_network();
	struct ifreq ifr;
	int fd = attach("tun0", IFF_TUN | IFF_NO_PI, &ifr);
	address("tun0", "10.9.0.1", "255.255.255.0");
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in to = {AF_INET, htons(9), {0}, {0}};
	inet_pton(AF_INET, "10.9.0.2", &to.sin_addr);
	char data[100] = {0};
	EQ(sendto(s, data, 100, 0, (void *)&to, sizeof to), 100);
	unsigned char buf[64];
	EQ(next_packet(fd, buf, 40), 40); /* the rest is lost */
	ERR(write(fd, buf, 0), EINVAL);
	buf[0] = 0x10; /* no version of IP */
	ERR(write(fd, buf, 20), EINVAL);
}

TEST(without_right)
{
	own_network();
	int fd = OK(open_tun(O_RDWR));
	OK(setresuid(1000, 1000, 1000));
	struct ifreq ifr = {.ifr_flags = IFF_TUN};
	ERR(ioctl(fd, TUNSETIFF, &ifr), EPERM);
}
