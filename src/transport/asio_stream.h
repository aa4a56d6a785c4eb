// The Asio side of Stream, for the .cc files of this folder only.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "transport/stream.h"
#include "transport/tcp_transport.h"

namespace arima::transport {

std::string ToString(const boost::asio::ip::tcp::endpoint& endpoint);

std::unique_ptr<Stream> MakeStream(boost::asio::ip::tcp::socket socket);

// Options of a freshly opened socket; what the kernel refuses is left as it is.
void ConfigureSocket(int fd, const TcpOptions& options);

}  // namespace arima::transport
