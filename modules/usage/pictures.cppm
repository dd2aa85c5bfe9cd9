// draw_trace draws what a trace tells: how many bytes are live over time, or where the blocks lie when most are.
//
//   picture    as text       as SVG                                   as JSON
//   timeline   columns       stacked areas, coloured by size or       counters, and the longest lived large blocks, for
//                            thread                                   Perfetto (ui.perfetto.dev) and chrome://tracing
//   map        characters    cells of equal numbers of bytes, row     the same as of the timeline
//                            after row, coloured as above
//
// SVG has a transparent background, and colours that can be read on a light one and on a dark one.
//
// Threads: any; it has no state.
//
//     {
//       buffers::recording_resource recorded{"drawn.trace"};
//       std::pmr::vector<int> numbers(1000, &recorded);
//     }
//     std::ofstream file{"drawn.svg"};
//     buffers::draw_trace(file, "drawn.trace");
module;
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string_view>
export module buffers.usage:pictures;
import :trace;

export namespace buffers {

/// What is written: characters for a terminal, a picture for a browser, or what Chrome and Perfetto read.
enum class picture_format : std::uint8_t { text, svg, json };
/// What is seen: the bytes in use over time, or each block by its address and its time.
enum class picture_kind : std::uint8_t { timeline, map };
/// What has a colour of its own, and in JSON a counter: blocks of a size, or those that a thread allocated.
enum class picture_colour : std::uint8_t { size, thread };

/// How draw_trace draws.
struct picture_options {
  picture_format format = picture_format::svg;
  picture_kind kind = picture_kind::timeline;
  picture_colour colour = picture_colour::size;
  std::string_view title{};  // by default, the command that was recorded
};

/// Draws a trace, as far as it is whole: where it is damaged is returned. Reads it two or three times.
/// Throws: system_error when it cannot be read, trace_error when it is none, bad_alloc. The state of `os` says whether
/// it could be written.
std::optional<trace_error> draw_trace(std::ostream& os, file_path trace, const picture_options& options = {});

}  // namespace buffers
