module;
#include <stdexcept>
#include <string>
module buffers.tensor;

namespace buffers::detail {

void throw_no_elements(const char* what) {
  throw std::invalid_argument(std::string("buffers: ") + what + ": there are no elements");
}

template struct reducer<sum_of, float>;
template struct reducer<sum_of, double>;
template struct reducer<mean_of, float>;
template struct reducer<mean_of, double>;
template struct reducer<choice_of<larger>, float>;
template struct reducer<choice_of<larger>, double>;
template struct reducer<choice_of<smaller>, float>;
template struct reducer<choice_of<smaller>, double>;

}  // namespace buffers::detail
