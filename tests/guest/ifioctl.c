/* netdevice(7), arp(7), route(8): interfaces, IPv4 addresses, routes and neighbours by ioctl(2). */
#include "netlink.h"
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/route.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

extern unsigned if_nametoindex(const char *);

static struct ifreq ifr;

static struct ifreq *named(const char *name)
{
	memset(&ifr, 0, sizeof ifr);
	strcpy(ifr.ifr_name, name);
	return &ifr;
}

static struct ifreq *with_address(const char *name, const char *text)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&named(name)->ifr_addr;
	in->sin_family = AF_INET;
	EQ(inet_pton(AF_INET, text, &in->sin_addr), 1);
	return &ifr;
}

static const char *address(void)
{
	static char text[32];
	struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;
	EQ(in->sin_family, AF_INET);
	return inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
}

static int inet(void)
{
	return OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

TEST(loopback)
{
	int s = inet();
	OK(ioctl(s, SIOCGIFINDEX, named("lo")));
	EQ(ifr.ifr_ifindex, 1);
	OK(ioctl(s, SIOCGIFMTU, named("lo")));
	EQ(ifr.ifr_mtu, 65536);
	OK(ioctl(s, SIOCGIFHWADDR, named("lo")));
	EQ(ifr.ifr_hwaddr.sa_family, ARPHRD_LOOPBACK);
	CHECK(!memcmp(ifr.ifr_hwaddr.sa_data, "\0\0\0\0\0\0", 6));
	OK(ioctl(s, SIOCGIFTXQLEN, named("lo")));
	EQ(ifr.ifr_qlen, 1000);
	OK(ioctl(s, SIOCGIFMETRIC, named("lo")));
	EQ(ifr.ifr_metric, 0);
	OK(ioctl(s, SIOCGIFMAP, named("lo")));
	named("");
	ifr.ifr_ifindex = 1;
	OK(ioctl(s, SIOCGIFNAME, &ifr));
	STR(ifr.ifr_name, "lo");
	ifr.ifr_ifindex = 99999;
	ERR(ioctl(s, SIOCGIFNAME, &ifr), ENODEV);
	ERR(ioctl(s, SIOCGIFINDEX, named("nobody")), ENODEV);
	ERR(ioctl(s, SIOCGIFADDR, named("nobody")), ENODEV);
	ERR(ioctl(s, SIOCGIFINDEX, BAD), EFAULT);
	ERR(ioctl(s, 0x89ee, named("lo")), ENOTTY);
}

TEST(any_socket)
{
	int kinds[][2] = {{AF_UNIX, SOCK_STREAM}, {AF_INET, SOCK_STREAM}, {AF_INET6, SOCK_DGRAM}, {AF_NETLINK, SOCK_RAW}};
	for (int i = 0; i < 4; i++) {
		int s = OK(socket(kinds[i][0], kinds[i][1], 0));
		OK(ioctl(s, SIOCGIFINDEX, named("lo")));
		EQ(ifr.ifr_ifindex, 1);
		OK(ioctl(s, SIOCGIFFLAGS, named("lo")));
		CHECK(ifr.ifr_flags & IFF_LOOPBACK);
		if (kinds[i][0] == AF_UNIX || kinds[i][0] == AF_NETLINK)
			ERR(ioctl(s, SIOCGIFADDR, named("lo")), ENOTTY); /* only the internet's know addresses */
		OK(close(s));
	}
	int p[2];
	OK(pipe(p));
	ERR(ioctl(p[0], SIOCGIFINDEX, named("lo")), ENOTTY);
}

TEST(list)
{
	alone();
	int s = inet(), fd = nl_open(NETLINK_ROUTE);
	struct ifreq many[4];
	struct ifconf conf = {sizeof many, {(char *)many}};
	OK(ioctl(s, SIOCGIFCONF, &conf));
	EQ(conf.ifc_len, 0); /* lo is down and has no address */
	EQ(set_up(fd, 1, 1), 0);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, 1, "10.1.2.3", 32), 0);
	conf.ifc_len = sizeof many;
	OK(ioctl(s, SIOCGIFCONF, &conf));
	EQ(conf.ifc_len, 2 * sizeof *many);
	STR(many[0].ifr_name, "lo");
	ifr = many[0];
	STR(address(), "127.0.0.1");
	ifr = many[1];
	STR(address(), "10.1.2.3");
	conf.ifc_len = sizeof *many + 5; /* room for one */
	OK(ioctl(s, SIOCGIFCONF, &conf));
	EQ(conf.ifc_len, sizeof *many);
	conf.ifc_len = 0;
	conf.ifc_buf = NULL;
	OK(ioctl(s, SIOCGIFCONF, &conf));
	EQ(conf.ifc_len, 2 * sizeof *many);
	OK(ioctl(OK(socket(AF_UNIX, SOCK_DGRAM, 0)), SIOCGIFCONF, &conf));
}

TEST(flags)
{
	alone();
	int s = inet();
	OK(ioctl(s, SIOCGIFFLAGS, named("lo")));
	EQ(ifr.ifr_flags, IFF_LOOPBACK);
	ifr.ifr_flags |= IFF_UP;
	OK(ioctl(s, SIOCSIFFLAGS, &ifr));
	OK(ioctl(s, SIOCGIFFLAGS, named("lo")));
	EQ(ifr.ifr_flags, IFF_LOOPBACK | IFF_UP | IFF_RUNNING);
	OK(ioctl(s, SIOCGIFADDR, named("lo")));
	STR(address(), "127.0.0.1");
	OK(ioctl(s, SIOCGIFNETMASK, named("lo")));
	STR(address(), "255.0.0.0");
	ifr.ifr_flags = 0;
	strcpy(ifr.ifr_name, "lo");
	OK(ioctl(s, SIOCSIFFLAGS, &ifr));
	OK(ioctl(s, SIOCGIFFLAGS, named("lo")));
	EQ(ifr.ifr_flags, IFF_LOOPBACK);
	ERR(ioctl(s, SIOCSIFFLAGS, named("nobody")), ENODEV);
}

TEST(addresses)
{
	alone();
	int s = inet(), fd = nl_open(NETLINK_ROUTE);
	EQ(add_veth(fd, "one", "two"), 0);
	ERR(ioctl(s, SIOCGIFADDR, named("one")), EADDRNOTAVAIL);
	OK(ioctl(s, SIOCSIFADDR, with_address("one", "10.1.2.3")));
	OK(ioctl(s, SIOCGIFADDR, named("one")));
	STR(address(), "10.1.2.3");
	OK(ioctl(s, SIOCGIFNETMASK, named("one")));
	STR(address(), "255.0.0.0"); /* of the old class A */
	OK(ioctl(s, SIOCGIFBRDADDR, named("one")));
	STR(address(), "10.255.255.255");
	OK(ioctl(s, SIOCSIFNETMASK, with_address("one", "255.255.255.0")));
	OK(ioctl(s, SIOCGIFNETMASK, named("one")));
	STR(address(), "255.255.255.0");
	OK(ioctl(s, SIOCGIFBRDADDR, named("one")));
	STR(address(), "10.1.2.255");
	ERR(ioctl(s, SIOCSIFNETMASK, with_address("one", "255.0.255.0")), EINVAL);
	OK(ioctl(s, SIOCSIFBRDADDR, with_address("one", "10.1.2.254")));
	OK(ioctl(s, SIOCGIFBRDADDR, named("one")));
	STR(address(), "10.1.2.254");
	OK(ioctl(s, SIOCGIFDSTADDR, named("one")));
	STR(address(), "10.1.2.3");
	OK(ioctl(s, SIOCSIFADDR, with_address("one:2", "192.168.7.1"))); /* a second one, by label */
	OK(ioctl(s, SIOCGIFADDR, named("one:2")));
	STR(address(), "192.168.7.1");
	OK(ioctl(s, SIOCGIFNETMASK, named("one:2")));
	STR(address(), "255.255.255.0");
	OK(ioctl(s, SIOCGIFADDR, named("one")));
	STR(address(), "10.1.2.3");
	ifr.ifr_flags = 0;
	strcpy(ifr.ifr_name, "one:2");
	OK(ioctl(s, SIOCSIFFLAGS, &ifr)); /* an alias that is put down is gone */
	ERR(ioctl(s, SIOCGIFADDR, named("one:2")), EADDRNOTAVAIL);
	OK(ioctl(s, SIOCSIFADDR, with_address("one", "10.9.9.9"))); /* another in its place */
	struct ifreq many[4];
	struct ifconf conf = {sizeof many, {(char *)many}};
	OK(ioctl(s, SIOCGIFCONF, &conf));
	EQ(conf.ifc_len, sizeof *many);
	OK(ioctl(s, SIOCSIFADDR, with_address("one", "0.0.0.0")));
	ERR(ioctl(s, SIOCGIFADDR, named("one")), EADDRNOTAVAIL);
}

TEST(devices)
{
	alone();
	int s = inet(), fd = nl_open(NETLINK_ROUTE);
	EQ(add_veth(fd, "one", "two"), 0);
	named("one")->ifr_mtu = 1400;
	OK(ioctl(s, SIOCSIFMTU, &ifr));
	OK(ioctl(s, SIOCGIFMTU, named("one")));
	EQ(ifr.ifr_mtu, 1400);
	named("one")->ifr_mtu = 20;
	ERR(ioctl(s, SIOCSIFMTU, &ifr), EINVAL);
	named("one")->ifr_qlen = 55;
	OK(ioctl(s, SIOCSIFTXQLEN, &ifr));
	OK(ioctl(s, SIOCGIFTXQLEN, named("one")));
	EQ(ifr.ifr_qlen, 55);
	named("one")->ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, "\2\0\0\0\0\5", 6);
	OK(ioctl(s, SIOCSIFHWADDR, &ifr));
	OK(ioctl(s, SIOCGIFHWADDR, named("one")));
	EQ(ifr.ifr_hwaddr.sa_family, ARPHRD_ETHER);
	CHECK(!memcmp(ifr.ifr_hwaddr.sa_data, "\2\0\0\0\0\5", 6));
	ifr.ifr_hwaddr.sa_data[0] = 1; /* a group is nobody's address */
	ERR(ioctl(s, SIOCSIFHWADDR, &ifr), EADDRNOTAVAIL);
	strcpy(named("one")->ifr_newname, "uno");
	OK(ioctl(s, SIOCSIFNAME, &ifr));
	CHECK(if_nametoindex("uno"));
	strcpy(named("uno")->ifr_newname, "two");
	ERR(ioctl(s, SIOCSIFNAME, &ifr), EEXIST);
	strcpy(named("uno")->ifr_newname, "a/b");
	ERR(ioctl(s, SIOCSIFNAME, &ifr), EINVAL);
	struct ethtool_value value = {.cmd = ETHTOOL_GLINK};
	named("uno")->ifr_data = (char *)&value;
	OK(ioctl(s, SIOCETHTOOL, &ifr));
	EQ(value.data, 0);
	EQ(set_up(fd, if_nametoindex("uno"), 1), 0);
	EQ(set_up(fd, if_nametoindex("two"), 1), 0);
	OK(ioctl(s, SIOCETHTOOL, &ifr));
	EQ(value.data, 1);
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	ifr.ifr_data = (char *)&info;
	OK(ioctl(s, SIOCETHTOOL, &ifr));
	STR(info.driver, "veth");
	value.cmd = 0x7777;
	ifr.ifr_data = (char *)&value;
	ERR(ioctl(s, SIOCETHTOOL, &ifr), EOPNOTSUPP);
}

static struct rtentry *route(const char *dst, const char *mask, const char *gateway, char *dev)
{
	static struct rtentry rt;
	const char *texts[] = {dst, mask, gateway};
	struct sockaddr *places[] = {&rt.rt_dst, &rt.rt_genmask, &rt.rt_gateway};
	memset(&rt, 0, sizeof rt);
	for (int i = 0; i < 3; i++)
		if (texts[i]) {
			struct sockaddr_in *in = (struct sockaddr_in *)places[i];
			in->sin_family = AF_INET;
			EQ(inet_pton(AF_INET, texts[i], &in->sin_addr), 1);
		}
	rt.rt_flags = RTF_UP | (gateway ? RTF_GATEWAY : 0);
	rt.rt_dev = dev;
	return &rt;
}

static int reachable(int fd, const char *text)
{
	struct request r;
	unsigned char raw[4];
	struct rtmsg *rt = begin(&r, RTM_GETROUTE, 0, sizeof *rt);
	rt->rtm_family = AF_INET;
	rt->rtm_dst_len = 32;
	EQ(inet_pton(AF_INET, text, raw), 1);
	put(&r, RTA_DST, raw, 4);
	nl_send(fd, &r);
	nl_read(fd);
	return first()->nlmsg_type == RTM_NEWROUTE;
}

TEST(routes)
{
	alone();
	int s = inet(), fd = nl_open(NETLINK_ROUTE);
	EQ(add_veth(fd, "one", "two"), 0);
	ERR(ioctl(s, SIOCADDRT, route("10.5.0.0", "255.255.0.0", NULL, "one")), ENETDOWN);
	EQ(set_up(fd, if_nametoindex("one"), 1), 0);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, if_nametoindex("one"), "10.1.2.3", 24), 0);
	OK(ioctl(s, SIOCADDRT, route("10.5.0.0", "255.255.0.0", NULL, "one")));
	ERR(ioctl(s, SIOCADDRT, route("10.5.0.0", "255.255.0.0", NULL, "one")), EEXIST);
	ERR(ioctl(s, SIOCADDRT, route("10.6.1.0", "255.255.0.0", NULL, "one")), EINVAL);
	ERR(ioctl(s, SIOCADDRT, route("10.6.0.0", "255.0.255.0", NULL, "one")), EINVAL);
	ERR(ioctl(s, SIOCADDRT, route("10.6.0.0", "255.255.0.0", NULL, "nobody")), ENODEV);
	ERR(ioctl(s, SIOCADDRT, route("10.6.0.0", "255.255.0.0", "10.99.0.1", NULL)), ENETUNREACH);
	OK(ioctl(s, SIOCADDRT, route("0.0.0.0", "0.0.0.0", "10.1.2.1", NULL)));
	CHECK(reachable(fd, "8.8.8.8"));
	OK(ioctl(s, SIOCDELRT, route("0.0.0.0", "0.0.0.0", NULL, NULL)));
	CHECK(!reachable(fd, "8.8.8.8"));
	CHECK(reachable(fd, "10.5.1.1"));
	OK(ioctl(s, SIOCDELRT, route("10.5.0.0", "255.255.0.0", NULL, "one")));
	ERR(ioctl(s, SIOCDELRT, route("10.5.0.0", "255.255.0.0", NULL, "one")), ESRCH);
}

TEST(neighbours)
{
	alone();
	int s = inet(), fd = nl_open(NETLINK_ROUTE);
	struct arpreq arp = {.arp_flags = ATF_PERM};
	struct sockaddr_in *in = (struct sockaddr_in *)&arp.arp_pa;
	EQ(add_veth(fd, "one", "two"), 0);
	EQ(set_up(fd, if_nametoindex("one"), 1), 0);
	EQ(change_address(fd, RTM_NEWADDR, NLM_F_CREATE, if_nametoindex("one"), "10.1.2.3", 24), 0);
	in->sin_family = AF_INET;
	inet_pton(AF_INET, "10.1.2.9", &in->sin_addr);
	strcpy(arp.arp_dev, "one");
	ERR(ioctl(s, SIOCGARP, &arp), ENXIO);
	arp.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(arp.arp_ha.sa_data, "\2\0\0\0\0\7", 6);
	OK(ioctl(s, SIOCSARP, &arp));
	memset(&arp.arp_ha, 0, sizeof arp.arp_ha);
	OK(ioctl(s, SIOCGARP, &arp));
	EQ(arp.arp_ha.sa_family, ARPHRD_ETHER);
	CHECK(!memcmp(arp.arp_ha.sa_data, "\2\0\0\0\0\7", 6));
	EQ(arp.arp_flags, ATF_COM | ATF_PERM);
	OK(ioctl(s, SIOCDARP, &arp));
	ERR(ioctl(s, SIOCGARP, &arp), ENXIO);
	strcpy(arp.arp_dev, "nobody");
	ERR(ioctl(s, SIOCGARP, &arp), ENODEV);
}

TEST(rights)
{
	alone();
	int s = inet();
	IN_CHILD
	{
		OK(setgid(12345));
		OK(setuid(12345));
		OK(ioctl(s, SIOCGIFFLAGS, named("lo")));
		ERR(ioctl(s, SIOCSIFFLAGS, &ifr), EPERM);
		ERR(ioctl(s, SIOCSIFADDR, with_address("lo", "10.1.2.3")), EPERM);
		ERR(ioctl(s, SIOCSIFMTU, named("lo")), EPERM);
		ERR(ioctl(s, SIOCADDRT, route("10.5.0.0", "255.255.0.0", NULL, "lo")), EPERM);
	}
}
