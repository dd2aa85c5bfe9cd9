// compare FOLDER: whether this library computes and reads what NumPy does, of the cases in the folder.
#include <cstdio>
#include <fstream>
#include <map>
#include <string>

#include "compare.h"
import buffers;

int main(int count, char** arguments) {
  using namespace numpy;
  if (count != 2) return 2;
  const std::string folder = arguments[1];
  const std::map<std::string, bool (*)(words&)> kinds = {{"slice", slice},
                                                         {"fill", fill},
                                                         {"integers", integers},
                                                         {"reals", reals},
                                                         {"compare", compare},
                                                         {"where", where},
                                                         {"one", one},
                                                         {"single", single},
                                                         {"whole", all_elements},
                                                         {"reduce", reduce},
                                                         {"keep", keep},
                                                         {"place", place},
                                                         {"count", numpy::count},
                                                         {"permute", permute},
                                                         {"reshape", reshape},
                                                         {"tril", tril},
                                                         {"concatenate", concatenate},
                                                         {"expand", expand}};
  int cases = 0, files = 0, wrong = 0;
  std::string line;
  const auto check = [&](auto agrees) {
    bool ok = false;
    try {
      ok = agrees();
    } catch (const std::exception& error) {
      std::printf("%s: ", error.what());
    }
    if (ok) return;
    ++wrong;
    std::printf("differs from NumPy: %s\n", line.c_str());
  };
  for (std::ifstream all(folder + "/cases.txt"); std::getline(all, line); ++cases)
    check([&] {
      words rest(line);
      return kinds.at(word(rest))(rest);
    });
  for (std::ifstream all(folder + "/files.txt"); std::getline(all, line); ++files)
    check([&] {
      words rest(line);
      return file(folder, rest);
    });
  std::printf("%d cases and %d files of NumPy, of which %d differ\n", cases, files, wrong);
  return cases >= 500 && files > 0 && wrong == 0 ? 0 : 1;
}
