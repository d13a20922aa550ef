"""Where claims and measures are from: five student reports, none of which has an address, by their tags, and papers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """A report and what it says of itself; "" of what it does not say."""

    space: str  # with its systems
    title: str
    author: str
    year: str
    compared: str

    def __str__(self):
        return f"{self.author or 'unnamed author'}: {self.title} ({self.year or 'no year given'})"


REPORTS = {
    "A": Report(
        "bottleneck_20",
        "report without a title",
        "",
        "",
        "a VAE, fully connected and convolutional GANs, and a WGAN on MNIST and CIFAR-10",
    ),
    "B": Report(
        "three_sizes", "Assignment 4", "Mitchell Chatterjee", "", "three sizes each of VAE, GAN and WGAN on MNIST and CIFAR-10"
    ),
    "C": Report(
        "dropout_or_dcgan", "Project 4: Generative modeling", "Yufei Hu", "2018", "a VAE with dropout and a DCGAN on MNIST"
    ),
    "D": Report(
        "matched_weights", "Assignment #5a", "Mick IJzer", "", "a VAE and a GAN of about as many weights on MNIST and Imagenette"
    ),
    "E": Report(
        "depth_and_latent",
        "Homework Exercise 4",
        "Pavan Balaji Kumar",
        "",
        "depth and latent size of VAEs, latent size of GANs and WGANs on MNIST and CIFAR-10",
    ),
}


@dataclass(frozen=True)
class Paper:
    """What the catalogue of measures names by its authors and its year."""

    title: str
    arxiv: str

    @property
    def link(self) -> str:
        return f"https://arxiv.org/abs/{self.arxiv}"


PAPERS = {
    "Heusel et al. 2017": Paper("GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", "1706.08500"),
    "Kynkäänniemi et al. 2019": Paper("Improved Precision and Recall Metric for Assessing Generative Models", "1904.06991"),
    "Naeem et al. 2020": Paper("Reliable Fidelity and Diversity Metrics for Generative Models", "2002.09797"),
    "Tolstikhin et al. 2018": Paper("Wasserstein Auto-Encoders", "1711.01558"),
    "Ravuri & Vinyals 2019": Paper("Classification Accuracy Score for Conditional Generative Models", "1905.10887"),
    "Shmelkov et al. 2018": Paper("How good is my GAN?", "1807.09499"),
    "Bińkowski et al. 2018": Paper("Demystifying MMD GANs", "1801.01401"),
    "Alaa et al. 2022": Paper(
        "How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing Generative Models", "2102.08921"
    ),
    "Burda et al. 2016": Paper("Importance Weighted Autoencoders", "1509.00519"),
    "Alain & Bengio 2016": Paper("Understanding intermediate layers using linear classifier probes", "1610.01644"),
}
