#include "transport/io_context.h"
#include "transport/network.h"
#include "transport/side_stream.h"

namespace arima::transport {
namespace {

class Sockets final : public Network {
 public:
  std::unique_ptr<Loop> MakeLoop() override { return std::make_unique<IoLoop>(); }
  std::unique_ptr<OutgoingStream> MakeStream() override { return std::make_unique<SideStream>(); }
};

}  // namespace

Network& SystemNetwork() {
  static Sockets sockets;
  return sockets;
}

}  // namespace arima::transport
