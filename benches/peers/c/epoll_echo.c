/*
 * The smallest level-triggered epoll echo server: the baseline that the other
 * servers are divided by. One epoll_wait, then one recv and one send for each
 * ready connection, and nothing else.
 *
 * It is a yardstick, not a server: when a peer does not read its echoes, send
 * waits for it and every other connection waits too; an unexpected error ends
 * the process.
 *
 * Build: cc -O2 -Wall -Wextra -o epoll_echo epoll_echo.c
 * Run:   ./epoll_echo 127.0.0.1:0
 *        prints "listening tcp 127.0.0.1:PORT" once connections are accepted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "common.h"

#define MAX_EVENTS 1024

/* Touched only as far as the longest message, so its size costs no memory. */
static char buffer[64 * 1024];

static int listen_on(const char *text)
{
	int on = 1;
	int fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	bind_to(fd, text);
	if (listen(fd, SOMAXCONN) < 0)
		die("listen");
	announce(fd, "tcp");
	return fd;
}

static void accept_all(int epoll, int listener)
{
	int on = 1;

	for (;;) {
		int fd = accept4(listener, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EAGAIN)
				return;
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			die("accept4");
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		watch(epoll, fd);
	}
}

/* Returns 0, or -1 when the connection is broken. */
static int send_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
		if (sent >= 0) {
			data += sent;
			length -= (size_t)sent;
		} else if (errno == EAGAIN) {
			/* Blocks everybody; see the top of the file. */
			struct pollfd wait = {.fd = fd, .events = POLLOUT};
			poll(&wait, 1, -1);
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}

static void echo(int fd)
{
	ssize_t received = recv(fd, buffer, sizeof buffer, 0);

	if (received < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Closing also takes the descriptor out of the epoll set. */
	if (received <= 0 || send_all(fd, buffer, (size_t)received) < 0)
		close(fd);
}

int main(int argc, char **argv)
{
	static struct epoll_event events[MAX_EVENTS];
	int epoll, listener;

	if (argc != 2) {
		fprintf(stderr, "usage: %s ADDRESS:PORT\n", argv[0]);
		return 2;
	}
	epoll = epoll_set();
	listener = listen_on(argv[1]);
	watch(epoll, listener);
	for (;;) {
		int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
		if (count < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				accept_all(epoll, listener);
			else
				echo(events[i].data.fd);
		}
	}
}
