/*
 * The smallest level-triggered epoll echo server by OpenSSL: for each ready
 * connection SSL_read until nothing is left, and one SSL_write for what that
 * brought.
 *
 * It is a yardstick, not a server: when a peer does not read its echoes, it is
 * closed; an unexpected error ends the process.
 *
 * Build: cc -O2 -Wall -Wextra -o openssl_echo openssl_echo.c -lssl -lcrypto
 * Run:   ./openssl_echo 127.0.0.1:0
 *        prints "listening tls 127.0.0.1:PORT" once connections are accepted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common.h"

#define MAX_EVENTS 1024
#define MAX_FILES 65536

/* Room for some records. Touched only as far as is needed. */
static char buffer[64 * 1024];

/* By descriptor. */
static SSL *connections[MAX_FILES];

static void check(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* A new certificate that nobody vouches for, with a key for ECDSA on P-256. */
static void certify(SSL_CTX *tls)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *name;

	check(key != NULL && certificate != NULL, "key");
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 60 * 60);
	X509_set_pubkey(certificate, key);
	name = X509_get_subject_name(certificate);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)"localhost", -1, -1,
				   0);
	X509_set_issuer_name(certificate, name);
	check(X509_sign(certificate, key, EVP_sha256()) > 0, "sign");
	check(SSL_CTX_use_certificate(tls, certificate) == 1, "certificate");
	check(SSL_CTX_use_PrivateKey(tls, key) == 1, "private key");
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static SSL_CTX *tls_context(void)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	check(tls != NULL, "context");
	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	/* As nginx has it: an idle connection keeps no buffers, and the head
	 * of a record is not read on its own. */
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(tls, 1);
	certify(tls);
	return tls;
}

static int listen_on(const char *text)
{
	int on = 1;
	int fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	bind_to(fd, text);
	if (listen(fd, SOMAXCONN) < 0)
		die("listen");
	announce(fd, "tls");
	return fd;
}

static void accept_all(int epoll, int listener, SSL_CTX *tls)
{
	int on = 1;

	for (;;) {
		int fd = accept4(listener, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		SSL *connection;

		if (fd < 0) {
			if (errno == EAGAIN)
				return;
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			die("accept4");
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		connection = SSL_new(tls);
		check(fd < MAX_FILES && connection != NULL && SSL_set_fd(connection, fd) == 1,
		      "connection");
		SSL_set_accept_state(connection);
		connections[fd] = connection;
		watch(epoll, fd);
	}
}

/* Returns 0, or -1 when the connection has ended or is broken. */
static int echo(SSL *connection)
{
	size_t length = 0, sent;
	int received, reason;

	ERR_clear_error();
	do {
		/* Also does the handshake. */
		received = SSL_read(connection, buffer + length,
				    (int)(sizeof buffer - length));
		if (received > 0)
			length += (size_t)received;
	} while (received > 0 && length < sizeof buffer);
	reason = SSL_get_error(connection, received);
	if (length > 0 && SSL_write_ex(connection, buffer, length, &sent) != 1)
		return -1;
	return received > 0 || reason == SSL_ERROR_WANT_READ ? 0 : -1;
}

static void end(int fd)
{
	SSL_shutdown(connections[fd]);
	SSL_free(connections[fd]);
	/* Closing also takes the descriptor out of the epoll set. */
	close(fd);
}

int main(int argc, char **argv)
{
	static struct epoll_event events[MAX_EVENTS];
	int epoll, listener;
	SSL_CTX *tls;

	if (argc != 2) {
		fprintf(stderr, "usage: %s ADDRESS:PORT\n", argv[0]);
		return 2;
	}
	tls = tls_context();
	epoll = epoll_set();
	listener = listen_on(argv[1]);
	watch(epoll, listener);
	for (;;) {
		int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
		if (count < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == listener)
				accept_all(epoll, listener, tls);
			else if (echo(connections[fd]) < 0)
				end(fd);
		}
	}
}
