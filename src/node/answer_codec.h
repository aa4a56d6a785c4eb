// Answers to the control calls that forward membership requests to the leader, and their bytes.
//
// The questions are in transport/control.h. An answer carries what HTTP shows, or the leader's
// refusal: inside the body, so that whoever forwarded can tell it from a failure of the connection
// (kPeerUnreachable of the leader is about the joining node, that of the transport about the
// leader). Pure functions, any thread; Decode accepts any input: what makes no sense is
// kOutcomeUnknown, because the leader did get the request.
//
// Bytes: version u8 = 1, ok u8; with ok 1: caught_up u8 (join only), leader string and moved u8
// (transfer only), count u32, {name string, value string}*; with ok 0: code string (CodeName),
// message string. Bytes after that are ignored.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "service/cluster_service.h"

namespace arima::node {

std::string EncodeJoinAnswer(const Result<service::JoinResponse>& answer);
Result<service::JoinResponse> DecodeJoinAnswer(std::string_view bytes);
std::string EncodeRemoveAnswer(const Result<service::RemoveResponse>& answer);
Result<service::RemoveResponse> DecodeRemoveAnswer(std::string_view bytes);
std::string EncodeTransferAnswer(const Result<service::TransferResponse>& answer);
Result<service::TransferResponse> DecodeTransferAnswer(std::string_view bytes);

}  // namespace arima::node
