// Runs a package of AOTInductor without Python: the extension, the package, inputs, outputs.
#include <dlfcn.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <fstream>
#include <iostream>
#include <iterator>

int main(int, char** paths) {
  if (!dlopen(paths[1], RTLD_NOW)) {
    std::cerr << dlerror() << "\n";
    return 1;
  }
  std::ifstream file(paths[3], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const c10::IValue given = torch::jit::pickle_load(bytes);
  std::vector<at::Tensor> inputs;
  for (const c10::IValue& value : given.toListRef()) inputs.push_back(value.toTensor());
  torch::inductor::AOTIModelPackageLoader package(paths[2]);
  const std::vector<char> pickled = torch::jit::pickle_save(package.run(inputs));
  std::ofstream(paths[4], std::ios::binary).write(pickled.data(), pickled.size());
}
