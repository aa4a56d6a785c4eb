// The Asio side of IoLoop, for the .cc files of this folder only.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "transport/io_context.h"

namespace arima::transport {

struct IoLoop::Impl {
  struct Timer {
    boost::asio::steady_timer timer;
    Task task;
  };

  boost::asio::io_context context{1};  // one thread runs it, others may post
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
      context.get_executor()};
  std::atomic<bool> wake_pending = false;
  TimerId last_timer = 0;
  std::map<TimerId, Timer> timers;  // goes before the context
};

}  // namespace arima::transport
