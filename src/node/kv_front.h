// service::KvService on top of a replica: encodes commands, asks for read barriers, reads the state
// machine on the caller's thread. Thread rule: any thread.
#pragma once

#include "base/clock.h"
#include "node/shared_state.h"
#include "service/kv_service.h"

namespace arima::node {

class KvFront final : public service::KvService {
 public:
  KvFront(SharedState* shared, Clock* clock, uint64_t value_bytes_max);

  void Put(service::PutRequest request, service::Done<service::PutResponse> done) override;
  void Delete(service::DeleteRequest request, service::Done<service::DeleteResponse> done) override;
  void ReadBarrier(service::BarrierRequest request, service::Done<void> done) override;
  Result<service::GetResponse> GetLocal(const service::GetRequest& request) override;

 private:
  // Null with `why` set: nothing can be served.
  std::shared_ptr<Replica> Usable(Error* why);
  void Propose(std::string command, uint64_t timeout_ms, WriteDone done);

  SharedState& shared_;
  Clock& clock_;
  const uint64_t value_bytes_max_;
};

}  // namespace arima::node
