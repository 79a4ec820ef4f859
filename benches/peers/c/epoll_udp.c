/*
 * The smallest level-triggered epoll echo server for datagrams: the baseline
 * that the other servers are divided by. One epoll_wait, then recvfrom and
 * sendto until nothing is left, and nothing else.
 *
 * It is a yardstick, not a server: sendto waits for room in the socket's
 * buffer, and a datagram that cannot be sent is lost; an unexpected error ends
 * the process.
 *
 * Build: cc -O2 -Wall -Wextra -o epoll_udp epoll_udp.c
 * Run:   ./epoll_udp 127.0.0.1:0
 *        prints "listening udp 127.0.0.1:PORT" once datagrams are taken.
 */
#include <errno.h>

#include "common.h"

/* Touched only as far as the longest datagram, so its size costs no memory. */
static char buffer[64 * 1024];

static void echo_all(int fd)
{
	for (;;) {
		struct sockaddr_in peer;
		socklen_t length = sizeof peer;
		ssize_t received = recvfrom(fd, buffer, sizeof buffer, MSG_DONTWAIT,
					    (struct sockaddr *)&peer, &length);
		if (received < 0) {
			if (errno == EAGAIN)
				return;
			if (errno == EINTR)
				continue;
			die("recvfrom");
		}
		sendto(fd, buffer, (size_t)received, 0, (struct sockaddr *)&peer,
		       length);
	}
}

int main(int argc, char **argv)
{
	int epoll, fd;

	if (argc != 2) {
		fprintf(stderr, "usage: %s ADDRESS:PORT\n", argv[0]);
		return 2;
	}
	epoll = epoll_set();
	fd = open_socket(SOCK_DGRAM);
	bind_to(fd, argv[1]);
	announce(fd, "udp");
	watch(epoll, fd);
	for (;;) {
		struct epoll_event event;
		int count = epoll_wait(epoll, &event, 1, -1);
		if (count < 0 && errno != EINTR)
			die("epoll_wait");
		if (count > 0)
			echo_all(fd);
	}
}
