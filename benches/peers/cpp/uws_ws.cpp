// A WebSocket echo on uWebSockets: one app, one loop, one thread.
//
// Built by `compare` from the sources that the crate libuwebsockets-sys has.
// Usage: uws_ws ADDRESS [--broadcast] [--deflate]
//
// Announces `listening ws ADDRESS:PORT` once connections are accepted. With
// --broadcast each message goes to all clients, its sender included; with
// --deflate messages are compressed where a client offers that, by one
// compressor for all, which forgets each message.

#include <App.h>

#include <cstdio>
#include <cstring>
#include <string_view>

struct Nothing {};

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: uws_ws ADDRESS [--broadcast] [--deflate]\n");
        return 2;
    }
    bool broadcast = false, deflate = false;
    for (int i = 2; i < argc; i++) {
        broadcast |= !std::strcmp(argv[i], "--broadcast");
        deflate |= !std::strcmp(argv[i], "--deflate");
    }
    int compression = uWS::SHARED_COMPRESSOR | uWS::SHARED_DECOMPRESSOR;
    const char *address = argv[1];

    uWS::App app;
    app.ws<Nothing>("/*", {
        .compression = deflate ? uWS::CompressOptions(compression) : uWS::DISABLED,
        // As switchboard by default.
        .maxPayloadLength = 1024 * 1024,
        .maxBackpressure = 1024 * 1024,
        .open = [=](auto *ws) {
            if (broadcast) {
                ws->subscribe("all");
            }
        },
        .message = [=, &app](auto *ws, std::string_view message, uWS::OpCode opcode) {
            if (broadcast) {
                // The app's, since a socket's leaves out the sender.
                app.publish("all", message, opcode);
            } else {
                ws->send(message, opcode);
            }
        },
    });
    app.listen(address, 0, [=](auto *socket) {
        if (socket) {
            int port = us_socket_local_port(0, (us_socket_t *) socket);
            std::printf("listening ws %s:%d\n", address, port);
            std::fflush(stdout);
        }
    });
    app.run();
    return 1;
}
