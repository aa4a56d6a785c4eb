// TrashRemover: the thread that deletes what DataDir moved to the trash. A database of hundreds of
// gigabytes takes long to delete, and neither elections nor a shutdown may wait for it.
//
// Its only state is the directory: what a life did not get to, the next one finds. So there is no
// queue that could run full, and a crash at any moment leaves nothing but trash.
//
// Thread rule: Start and Stop from the owner; waiting() from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "node/data_dir.h"
#include "node/logger.h"

namespace arima::node {

class TrashRemover {
 public:
  // Both outlive this.
  TrashRemover(DataDir* dir, Logger* logger);
  ~TrashRemover();  // stops

  // Begins with what lies there, then goes on with what comes.
  void Start();
  void RequestStop() EXCLUDES(mutex_);
  // Waits for one file at most; the rest stays for the next life.
  void Stop();

  // How much lies in the trash, as far as was seen.
  uint64_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  void Run() EXCLUDES(mutex_);
  void Empty() EXCLUDES(mutex_);
  bool IsStopping() EXCLUDES(mutex_);

  DataDir& dir_;
  Logger& logger_;
  std::atomic<uint64_t> waiting_ = 0;
  Thread thread_;

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool more_ GUARDED_BY(mutex_) = true;  // something may lie there
};

}  // namespace arima::node
