// The Asio side of Stream, for the .cc files of this folder only.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "transport/stream.h"

namespace arima::transport {

struct Stream::Impl {
  boost::asio::ip::tcp::socket socket;
  std::string remote;
};

std::string ToString(const boost::asio::ip::tcp::endpoint& endpoint);

std::unique_ptr<Stream> MakeStream(boost::asio::ip::tcp::socket socket);

}  // namespace arima::transport
