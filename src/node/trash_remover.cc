#include "node/trash_remover.h"

#include "env/env.h"

namespace arima::node {

TrashRemover::TrashRemover(DataDir* dir, Logger* logger) : dir_(*dir), logger_(*logger) {}

TrashRemover::~TrashRemover() { Stop(); }

void TrashRemover::Start() {
  dir_.WatchTrash([this] {
    {
      MutexLock lock(&mutex_);
      more_ = true;
    }
    changed_.NotifyAll();
  });
  thread_ = Thread([this] { Run(); });
}

void TrashRemover::RequestStop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
}

void TrashRemover::Stop() {
  dir_.WatchTrash(nullptr);
  RequestStop();
  if (thread_.joinable()) thread_.Join();
}

bool TrashRemover::IsStopping() {
  MutexLock lock(&mutex_);
  return stopping_;
}

void TrashRemover::Run() {
  while (true) {
    {
      MutexLock lock(&mutex_);
      while (!stopping_ && !more_) changed_.Wait(&mutex_);
      if (stopping_) return;
      more_ = false;
    }
    Empty();
  }
}

// What cannot be deleted stays until something new comes or the node starts again: it costs space
// and nothing else.
void TrashRemover::Empty() {
  auto trash = dir_.Trash();
  if (!trash) {
    logger_.Warn("trash_not_listed", trash.error().ToString());
    return;
  }
  waiting_ = trash->size();
  for (const std::string& path : *trash) {
    Status removed = env::RemoveTree(dir_.env(), path, [this] { return IsStopping(); });
    if (!removed && removed.error().code == Code::kUnavailable) return;
    if (removed) {
      --waiting_;
    } else {
      logger_.Warn("trash_not_removed",
                   removed.error().ToString() +
                       "; it only takes space: remove it by hand, or see to it that the node may");
    }
  }
}

}  // namespace arima::node
