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
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_EVENTS 1024

/* Touched only as far as the longest message, so its size costs no memory. */
static char buffer[64 * 1024];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in parse_address(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	char host[INET_ADDRSTRLEN];
	const char *colon = strrchr(text, ':');

	if (colon == NULL || (size_t)(colon - text) >= sizeof host)
		goto invalid;
	memcpy(host, text, colon - text);
	host[colon - text] = '\0';
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		goto invalid;
	address.sin_port = htons((unsigned short)atoi(colon + 1));
	return address;

invalid:
	fprintf(stderr, "not an IPv4 address and port: %s\n", text);
	exit(2);
}

static int listen_on(const char *text)
{
	struct sockaddr_in address = parse_address(text);
	socklen_t length = sizeof address;
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("bind");
	if (listen(fd, SOMAXCONN) < 0)
		die("listen");
	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		die("getsockname");
	printf("listening tcp %s:%d\n", inet_ntoa(address.sin_addr),
	       ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
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
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		die("epoll_create1");
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
