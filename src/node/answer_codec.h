// Answers to the control calls that forward membership requests to the leader, and their bytes.
//
// The questions are in transport/control.h; the answers carry what HTTP shows. Pure functions, any
// thread; Decode accepts any input and answers kInvalidArgument.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "service/cluster_service.h"

namespace arima::node {

std::string EncodeJoinAnswer(const service::JoinResponse& response);
Result<service::JoinResponse> DecodeJoinAnswer(std::string_view bytes);
std::string EncodeRemoveAnswer(const service::RemoveResponse& response);
Result<service::RemoveResponse> DecodeRemoveAnswer(std::string_view bytes);

}  // namespace arima::node
